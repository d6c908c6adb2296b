"""Objects are read and hashed ahead of their turn, and none leaves unchecked."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from dicom.errors import Corrupt
from node.workers import treatment
from node.workers.workshop import Stopping


class Shop:
    """A workshop whose spool notes what is checked."""

    def __init__(self, spoilt: int = -1) -> None:
        self.reader = SimpleNamespace(verify=self.verify)
        self.checked: list[int] = []
        self.spoilt = spoilt
        self.is_stopping = False
        self.looked = threading.Condition()

    def verify(self, number: int) -> None:
        with self.looked:
            self.checked.append(number)
            self.looked.notify_all()
        if number == self.spoilt:
            raise Corrupt("the disk gave other bytes")

    def check_stop(self) -> None:
        if self.is_stopping:
            raise Stopping


def given(shop: Shop, count: int = 6) -> Any:
    return treatment._checked(shop, range(count))


def test_the_next_are_checked_while_one_is_made_ready() -> None:
    """When an object is at work, those after it are being read; no more than a few."""
    shop = Shop()
    ready = given(shop)
    assert next(ready) == 0
    with shop.looked:
        assert shop.looked.wait_for(lambda: shop.checked == [0, 1, 2], 10)
    assert list(ready) == [1, 2, 3, 4, 5]
    assert shop.checked == [0, 1, 2, 3, 4, 5]


@pytest.mark.p4
def test_a_spoilt_object_ends_it_at_its_turn() -> None:
    """Those before it leave, it does not, and neither do those behind it."""
    ready = given(Shop(spoilt=3))
    assert [next(ready) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(Corrupt):
        next(ready)
    assert list(ready) == []


def test_it_ends_between_two_objects() -> None:
    """A worker that shall end gives nothing more, whatever was checked by then."""
    shop = Shop()
    ready = given(shop)
    next(ready)
    shop.is_stopping = True
    with pytest.raises(Stopping):
        next(ready)
