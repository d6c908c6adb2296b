"""What rules may ask of a Series: its head, who sent it, and when it came."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial

from pydicom.dataset import Dataset

from config.conditions import WEEKDAYS, Attributes, Undecided
from dicom import head as heads
from dicom import part10
from dicom.entity import Arrival, Instance
from dicom.errors import CannotUnderstand, Fault
from routing.rules import Rule, asked_of_heads
from storage.ledger.studies import StudyTraits
from storage.spool.reader import SpoolReader


class Traits:
    """Reads from the spool what rules ask of a Series; its first Instance speaks for it."""

    def __init__(self, reader: SpoolReader, rules: Sequence[Rule], peers: Collection[str]) -> None:
        self._reader = reader
        self._keywords = asked_of_heads(rules)
        self._peers = frozenset(peers)

    def of(self, example: Instance) -> Attributes:
        """Give a Series' attributes; its head is read when the first of them is asked for.

        Where it cannot be, whoever asks hears Undecided.
        """
        return attributes(route(example.arrival, self._peers), lambda: self._head(example))

    def read(self, example: Instance) -> Attributes:
        """Give a Series' attributes, its head read at once.

        Raises StorageFault or CannotUnderstand where that cannot be done.
        """
        found = self._head(example)
        return attributes(route(example.arrival, self._peers), lambda: found)

    def _head(self, example: Instance) -> Dataset:
        """Read what rules ask for, with the bounds that the object met when it was filed."""
        with self._reader.open(example.location) as stream:
            return heads.pick(stream, example.arrival.transfer_syntax_uid, self._keywords)


def route(arrival: Arrival, peers: Collection[str]) -> dict[str, list[str]]:
    """Say who sent an object, to which title, how, and when by this machine's clock."""
    moment = time.localtime(arrival.received_at)
    return {
        "calling_ae": [arrival.calling_ae],
        "called_ae": [arrival.called_ae],
        "peer": [arrival.calling_ae] if arrival.calling_ae in peers else [],
        "origin": [str(arrival.origin)],
        "time": [time.strftime("%H:%M", moment)],
        "weekday": [WEEKDAYS[moment.tm_wday]],
    }


def attributes(route: Mapping[str, list[str]], read: Callable[[], Dataset]) -> Attributes:
    """Put the two together; the head is read once, and each attribute of it decoded once."""
    known = dict(route)
    head = cache(partial(_read_once, read))

    def values(keyword: str) -> list[str]:
        if keyword not in known:
            found = head()
            if isinstance(found, Fault):
                raise Undecided(f"its first object cannot be read ({found.code})")
            text = part10.text(found, keyword)
            known[keyword] = text.split("\\") if text else []
        return known[keyword]

    return values


def with_study(own: Attributes, study: StudyTraits) -> Attributes:
    """Add what is known of the whole Study to what is known of a Series."""
    known = {
        "ModalitiesInStudy": list(study.modalities),
        "NumberOfStudyRelatedSeries": [str(study.series)],
        "NumberOfStudyRelatedInstances": [str(study.instances)],
    }
    return lambda keyword: known[keyword] if keyword in known else own(keyword)


def _read_once(read: Callable[[], Dataset]) -> Dataset | Fault:
    # A head that is lost is no empty one: with that, `not` would hold, and a Series go where it
    # should not.
    try:
        return read()
    except Fault as fault:
        return fault
    except Exception as bug:  # noqa: BLE001  (one strange head shall not stop all settling)
        return CannotUnderstand(f"head cannot be read ({type(bug).__name__})")
