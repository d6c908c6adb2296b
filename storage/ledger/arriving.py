"""Read a stored object once: check it, compute its digest, and look into its head."""

from collections import deque
from collections.abc import Mapping, Sequence

from dicom import head
from dicom.entity import Instance, SeriesKey
from dicom.errors import CannotUnderstand, DoesNotMatch, Fault
from dicom.meta import own_dataset_offset
from dicom.uid import is_storable
from storage.index.heads import HeadRow
from storage.ledger.arrived import UNREAD, Arrived
from storage.ledger.heading import Heading
from storage.spool.reader import SpoolReader
from storage.spool.record import Record


class ReadingHere:
    """Reads on the caller's own thread."""

    def __init__(self, reader: SpoolReader) -> None:
        self._reader = reader
        self._pending: deque[Sequence[Record]] = deque()
        self._heading = Heading(reader)

    def submit(self, records: Sequence[Record]) -> None:
        """Keep a batch until it is collected."""
        self._pending.append(records)

    def collect(self) -> list[Arrived]:
        """Read the oldest batch."""
        return [read(self._reader, record) for record in self._pending.popleft()]

    def heads(self, records: Sequence[Record]) -> list[HeadRow | None]:
        """Make heads for the index."""
        return [self._heading.head(record) for record in records]

    def forget(self) -> None:
        """Drop what was submitted and not collected, and what later heads would refer to."""
        self._pending.clear()
        self._heading = Heading(self._reader)


def read(reader: SpoolReader, record: Record) -> Arrived:
    """Read a record whole: check it, compute its digest, and read its head."""
    try:
        instance = reader.identify(record)
    except Fault as fault:
        return Arrived(Instance(record.arrival, record.location, UNREAD), fault=fault)
    return _read_head(reader, instance)


def _read_head(reader: SpoolReader, instance: Instance) -> Arrived:
    """Read what an object's head says of it."""
    try:
        found = _texts(reader, instance)
        return Arrived(instance, file_key(instance.arrival.sop_instance_uid, found), found)
    except Fault as fault:
        return Arrived(instance, fault=fault)
    except Exception as bug:  # noqa: BLE001  (one strange object shall not stop all others)
        unread = CannotUnderstand(f"dataset cannot be read ({type(bug).__name__})")
        return Arrived(instance, fault=unread)


def _texts(reader: SpoolReader, instance: Instance) -> head.Texts:
    syntax, place = instance.arrival.transfer_syntax_uid, instance.location
    whole = reader.mapped(place)
    if whole is None:  # sealed: opened piece by piece, for it may be larger than memory
        with reader.open(place) as stream:
            return head.read_file(stream, syntax)
    # Another version may have written another file meta than this one would.
    dataset = whole[own_dataset_offset(whole) :]
    return head.read(dataset, syntax, lambda: reader.open(place))


def file_key(sop_instance_uid: str, texts: Mapping[str, str]) -> SeriesKey:
    """Say where an object belongs, by its own head.

    Raises CannotUnderstand when its UIDs are missing or unusable, DoesNotMatch when the head
    names another object than the C-STORE command did (PS3.4 B.2.3).
    """
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        value = texts.get(keyword, "")
        if not is_storable(value):
            words = f"{keyword} is {'not usable as a UID' if value else 'missing'}"
            raise CannotUnderstand(words)
    if texts["SOPInstanceUID"] != sop_instance_uid:
        raise DoesNotMatch("SOPInstanceUID differs between the C-STORE command and the dataset")
    return SeriesKey(texts["StudyInstanceUID"], texts["SeriesInstanceUID"])
