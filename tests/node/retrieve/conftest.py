"""An archive of a few Studies in this process, with a real door, spool, ledger and index."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from config.model import Settings
from dicom import part10
from dicom.context import storage_contexts
from dicom.entity import Arrival
from dicom.meta import read_meta
from examples.peers import raw_scp
from examples.peers.process import free_port, wait_until
from examples.peers.retrieve_scu import Retriever
from node.front_retrieve import Retrievals, retrievals
from node.listener import Listener
from node.retrieving import Retrieved
from node.services.echo import EchoService
from node.services.store import StoreService
from storage.index.database import Index
from storage.ledger.arriving import ReadingHere
from storage.ledger.follow import Follower
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

PLAIN, MIXED, BIG = "1.2.9.1", "1.2.9.2", "1.2.9.3"
"""A Study of 12 CT slices in two Series; one of real objects in many syntaxes; one of 8 MB."""
PATIENT = "ZZ-4711-0815"
REAL = (
    "MR_small_jp2klossless.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm",
    "image_dfl.dcm", "JPEG-lossy.dcm", "rtplan.dcm",
)  # fmt: skip


@dataclass
class Archive:
    """A node with objects in it."""

    settings: Settings
    spool: Spool
    ledger: Ledger
    index: Index
    follower: Follower
    listener: Listener
    parts: Retrievals
    told: list[Retrieved] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    """The Part 10 bytes of what it holds, by SOP Instance UID."""

    def on_retrieved(self, retrieved: Retrieved) -> None:
        self.told.append(retrieved)

    def keep(self, given: bytes, study: str = "", series: str = "") -> None:
        """Put an object into the spool."""
        if study:
            given = renamed(given, study, series)
        meta = read_meta(given)
        head = dcmread(io.BytesIO(given), stop_before_pixels=True)
        arrival = Arrival(
            str(head.SOPClassUID), str(head.SOPInstanceUID), meta.transfer_syntax_uid,
            "CT1", "PENUMBRA", "a1", "127.0.0.1", 10.0,
        )  # fmt: skip
        with self.spool.begin(arrival) as recording:
            recording.write(part10.file_meta(arrival))
            recording.write(given[meta.dataset_offset :])
            instance = recording.commit()
        with self.parts.originals.open(instance) as stream:
            self.files[arrival.sop_instance_uid] = stream.read()

    def file(self) -> None:
        """Have everything filed and indexed."""
        while self.follower.step() is not None:
            pass
        while self.follower.catch_up_index():
            pass

    def dataset(self, sop_instance_uid: str) -> bytes:
        """The dataset of an object as it was received."""
        whole = self.files[sop_instance_uid]
        return whole[read_meta(whole).dataset_offset :]

    def last(self) -> Retrieved:
        """The account of the latest retrieval."""
        wait_until(lambda: bool(self.told), 10, "the account of a retrieval")
        return self.told[-1]


def ct(
    study: str, series: str, number: int, *, pixels: int = 16, sop_class: str = CTImageStorage
) -> bytes:
    """Make a small CT slice."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = sop_class, f"{study}.{series}.{number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = study, f"{study}.{series}"
    image.PatientName, image.PatientID = "KANARIENVOGEL^HANS", PATIENT
    image.StudyDate, image.StudyTime, image.AccessionNumber = "20260102", "101112", "A1"
    image.Modality, image.StudyID = "CT", "S1"
    image.SeriesNumber, image.InstanceNumber = int(series), number
    image.Rows = image.Columns = pixels
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.PixelData = (number).to_bytes(2, "little") * pixels * pixels
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, image, enforce_file_format=True)
    return buffer.getvalue()


def renamed(given: bytes, study: str, series: str) -> bytes:
    """Give a real object the UIDs of a Study here, and leave its pixels as they are."""
    found = dcmread(io.BytesIO(given))
    found.StudyInstanceUID, found.SeriesInstanceUID = study, f"{study}.{series}"
    found.PatientID, found.SOPInstanceUID = PATIENT, f"{study}.{series}.1"
    found.file_meta.MediaStorageSOPInstanceUID = found.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, found, enforce_file_format=True)
    return buffer.getvalue()


def real(name: str) -> bytes:
    """Read one of pydicom's own test objects."""
    path = get_testdata_file(name)
    assert isinstance(path, str), name
    return Path(path).read_bytes()


@pytest.fixture(scope="module")
def scp() -> Iterator[raw_scp.RawScp]:
    """A receiver that can misbehave; `destination` resets it."""
    with raw_scp.running() as running:
        yield running


@pytest.fixture
def destination(scp: raw_scp.RawScp) -> raw_scp.RawScp:
    """The receiver [peers.DEST], as it should be and empty."""
    wait_until(lambda: not scp.open, 10, "the end of the associations before")
    scp.behaviour = raw_scp.Behaviour()
    for each in (scp.stored, scp.proposed, scp.commands):
        each.clear()
    scp.associations = scp.objects = 0
    scp.by_association.clear()
    return scp


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the destination "far" keeps files."""
    return tmp_path_factory.mktemp("far")


@pytest.fixture(scope="module")
def make_settings_of(
    scp: raw_scp.RawScp, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Settings]:
    """Settings of the archive; keys are further tables, `peers` further peers."""

    def make(**more: Any) -> Settings:
        here = {"host": "127.0.0.1", "port": scp.port}
        peers = {
            "SCU": {"may": ["move", "get", "store"], "move_to": ["DEST", "NOHOST", "NOBODY"]},
            "ONLYGET": {"may": ["get"]},
            "NARROW": {"may": ["move"], "move_to": ["DEST"]},
            "ITSELF": {"may": ["move"], **here},
            "NOTHING": {"may": ["find"]},
            "DEST": here,
            "ELSE": here,
            "NOBODY": {"host": "127.0.0.1", "port": free_port()},
            "NOHOST": {},
            **more.pop("peers", {}),
        }
        node = {
            "host": "127.0.0.1", "port": 0, "data_dir": str(tmp_path_factory.mktemp("var")),
            "idle_timeout_s": 10, "reserve_mb": 1,
        }  # fmt: skip
        tables = {
            "node": node,
            "peers": peers,
            "destinations": {"far": {"kind": "folder", "path": str(folder)}},
            "retrieve": {"timeout_s": 5},
        }
        return Settings.model_validate({**tables, **more})

    return make


@pytest.fixture(scope="module")
def archive(make_settings_of: Callable[..., Settings]) -> Iterator[Archive]:
    """A node that holds three Studies."""
    with opened(make_settings_of()) as made:
        yield made


class opened:  # noqa: N801  (a context manager, as contextlib makes them)
    """Open an archive over settings until the block ends; PLAIN alone unless `whole`."""

    def __init__(self, settings: Settings, *, whole: bool = True) -> None:
        self._settings = settings
        self._whole = whole

    def __enter__(self) -> Archive:
        settings = self._settings
        data_dir = settings.node.data_dir
        spool = Spool.open(data_dir / "spool", segment_bytes=1 << 24, reserve_bytes=0)
        ledger, index = Ledger.open(data_dir), Index.open(data_dir / "index.duckdb")
        reader = SpoolReader(spool.root)
        follower = Follower(spool, reader, ledger.intake, index, ReadingHere(reader))
        told: list[Retrieved] = []
        parts = retrievals(
            settings, ledger, index, (spool, SpoolReader(spool.root)), watcher=_Told(told)
        )
        store = StoreService(spool, settings, storage_contexts(), lambda: 10.0)
        listener = Listener(settings, store, [EchoService(), *parts.services])
        self._archive = Archive(settings, spool, ledger, index, follower, listener, parts, told)
        for number in range(12):
            self._archive.keep(ct(PLAIN, str(number // 6 + 1), number + 1))
        if self._whole:
            for number, name in enumerate(REAL):
                self._archive.keep(real(name), MIXED, str(number + 1))
            self._archive.keep(ct(BIG, "1", 1, pixels=2048))
        self._archive.file()
        listener.start()
        return self._archive

    def __exit__(self, *_: object) -> None:
        one = self._archive
        one.listener.stop(0)
        one.parts.close()
        one.index.close()
        one.ledger.close()
        one.spool.close()


@pytest.fixture(scope="session")
def opened_archive() -> type[opened]:
    """Open an archive over settings for a block."""
    return opened


@pytest.fixture(scope="session")
def make_ct() -> Callable[..., bytes]:
    """Make a small CT slice of a Study, a Series and a number."""
    return ct


@pytest.fixture
def open_archive() -> Iterator[Callable[[Settings], Archive]]:
    """Open further archives, of the Study PLAIN alone; closed afterwards."""
    made: list[opened] = []

    def start(settings: Settings) -> Archive:
        made.append(opened(settings, whole=False))
        return made[-1].__enter__()

    yield start
    for each in made:
        each.__exit__()


@dataclass
class _Told:
    told: list[Retrieved]

    def on_retrieved(self, retrieved: Retrieved) -> None:
        self.told.append(retrieved)


@pytest.fixture
def scu(archive: Archive) -> Iterator[Callable[[], Retriever]]:
    """Connect raw requesters to the archive; closed afterwards."""
    made: list[Retriever] = []

    def connect() -> Retriever:
        made.append(Retriever(archive.listener.port or 0))
        return made[-1]

    archive.told.clear()
    yield connect
    for each in made:
        each.close()
