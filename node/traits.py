"""What rules may ask of a Series: its head, who sent it, and when it came."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog
from pydicom.dataset import Dataset

from config.conditions import WEEKDAYS, Attributes
from dicom import head, part10
from dicom.entity import Arrival, Instance
from dicom.errors import Fault
from routing.rules import Rule, asked_of_heads
from storage.spool.reader import SpoolReader

log = structlog.get_logger()


class Traits:
    """Reads from the spool what rules ask of a Series; its first Instance speaks for it."""

    def __init__(self, reader: SpoolReader, rules: Sequence[Rule], peers: Collection[str]) -> None:
        self._reader = reader
        self._keywords = asked_of_heads(rules)
        self._peers = frozenset(peers)

    def of(self, example: Instance) -> Attributes:
        """Give a Series' attributes; its head is read when the first of them is asked for."""
        return attributes(route(example.arrival, self._peers), lambda: self._or_nothing(example))

    def read(self, example: Instance) -> Attributes:
        """Give a Series' attributes, its head read at once.

        Raises StorageFault or CannotUnderstand where that cannot be done.
        """
        found = self._head(example)
        return attributes(route(example.arrival, self._peers), lambda: found)

    def _head(self, example: Instance) -> Dataset:
        """Read what rules ask for, with the bounds that the object met when it was filed."""
        with self._reader.open(example.location) as stream:
            return head.pick(stream, example.arrival.transfer_syntax_uid, self._keywords)

    def _or_nothing(self, example: Instance) -> Dataset:
        try:
            return self._head(example)
        except Fault as fault:
            # It could be read when it was filed; a rule then sees no attributes, matches only
            # where it asks for none, and the delivery meets the same fault and is held.
            log.error("head lost", instance=example.arrival.sop_instance_uid, fault=fault.code)
            return Dataset()


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
    """Put the two together; each attribute is decoded once, however many rules ask for it."""
    known = dict(route)
    found: Dataset | None = None

    def values(keyword: str) -> list[str]:
        nonlocal found
        if keyword not in known:
            if found is None:
                found = read()
            text = part10.text(found, keyword)
            known[keyword] = text.split("\\") if text else []
        return known[keyword]

    return values
