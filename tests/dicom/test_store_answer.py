"""Answers to C-STORE: every status has one meaning, and none is taken for stored that is not."""

from itertools import pairwise

import pytest

from dicom.errors import Busy, Refused
from dicom.store_answer import TABLE, Meaning, describe, judge, row

HELD = {Meaning.STORED, Meaning.WARNED, Meaning.THERE}


def test_the_table_is_in_order_and_has_no_overlap():
    """Ranges follow one another, so that a status stands in one row at most."""
    assert all(one.first <= one.last for one in TABLE)
    assert all(one.last < other.first for one, other in pairwise(TABLE))


@pytest.mark.parametrize("one", TABLE, ids=lambda one: f"{one.first:04X}")
def test_every_row_is_judged_as_it_says(one):
    """Both ends of a range are stored, busy or refused, in words that name the status."""
    for code in {one.first, one.last}:
        if one.meaning in HELD:
            assert judge(code, "1.2.3") == code
            assert f"status 0x{code:04X}" in describe(code)
            continue
        fault = Busy if one.meaning is Meaning.BUSY else Refused
        with pytest.raises(fault, match=one.words) as told:
            judge(code, "1.2.3")
        assert f"1.2.3 was answered 0x{code:04X}" in str(told.value)
        assert told.value.retry is (fault is Busy)


def test_only_these_statuses_mean_that_the_peer_has_it():
    """Of all statuses there are, success, a duplicate and PS3.4's warnings alone are a receipt."""
    held = {code for code in range(0x10000) if row(code).meaning in HELD}
    assert held == {0x0000, 0x0111, *range(0xB000, 0xC000)}


def test_only_these_statuses_are_tried_again():
    """A peer without resources is asked again later; no other failure mends by itself."""
    busy = {code for code in range(0x10000) if row(code).meaning is Meaning.BUSY}
    assert busy == {0x0213, *range(0xA700, 0xA800)}


def test_a_receipt_says_more_than_a_number():
    """Warnings and duplicates are told from a plain success in what a receipt keeps."""
    assert describe(0) == "status 0x0000"
    assert describe(0xB006) == "status 0xB006, stored with a warning: elements discarded"
    assert describe(0x0111) == "status 0x0111, already there: duplicate SOP instance"
