"""The audit trail: what was written cannot be changed, dropped, put in or cut off unseen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid.vault.audit import Asker, Chain
from dicom.sealed import AuditEntry

CHAIN = Chain(b"k" * 32)
TEXT = {"who": "x", "action": "x", "project": "x", "subject": "x", "purpose": "x"}


def trail(count, chain=CHAIN):
    entries, previous = [], ""
    for number in range(1, count + 1):
        facts = (number, 1e9 + number, "alice", "lookup", "heart", f"P{number}", "ticket")
        entries.append(chain.link(AuditEntry(*facts, mac=""), previous))
        previous = entries[-1].mac
    return entries


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_trail_that_nobody_touched_is_whole(count):
    """Any number of entries, none among them, is whole, and the head is the last MAC."""
    entries = trail(count)
    verdict = CHAIN.verify(entries)
    assert verdict.is_whole
    assert (verdict.entries, verdict.head) == (count, entries[-1].mac if count else "")


@pytest.mark.parametrize("change", [*TEXT.items(), ("at", 5.0), ("number", 9), ("mac", "é")])
def test_a_changed_entry_is_found(change):
    """Each fact of an entry is bound by its MAC."""
    entries = trail(5)
    entries[2] = replace(entries[2], **dict([change]))
    assert CHAIN.verify(entries).broken_at == 3


@given(st.integers(2, 8), st.data())
def test_a_dropped_moved_or_repeated_entry_is_found(count, data):
    """Entries stand in their order, each once."""
    entries = trail(count)
    at = data.draw(st.integers(0, count - 2))
    dropped = entries[:at] + entries[at + 1 :]
    moved = [*entries[:at], entries[at + 1], entries[at], *entries[at + 2 :]]
    repeated = [*entries[: at + 1], *entries[at:]]
    for changed in (dropped, moved, repeated):
        assert not CHAIN.verify(changed).is_whole


def test_a_trail_made_anew_without_the_key_is_found():
    """Who has no vault key cannot write a trail that fits."""
    assert CHAIN.verify(trail(3, Chain(b"l" * 32))).broken_at == 1


def test_words_cannot_move_between_facts():
    """No two entries give the same MAC by shifting letters from one fact to the next."""
    one = AuditEntry(1, 0.0, "ab", "c", "", "", "x", "")
    two = replace(one, who="a", action="bc")
    assert CHAIN.link(one, "").mac != CHAIN.link(two, "").mac


def test_a_cut_off_end_is_found_by_the_noted_head():
    """With a head that was noted elsewhere, the loss of the newest entries shows."""
    entries = trail(5)
    head = entries[-1].mac
    assert CHAIN.verify(entries, head).is_whole
    assert CHAIN.verify(entries, entries[1].mac).is_whole
    assert CHAIN.verify(entries[:4]).is_whole
    assert not CHAIN.verify(entries[:4], head).is_whole


@pytest.mark.parametrize(
    ("who", "purpose"), [("", "x"), ("x", " "), ("x", "a\nb"), ("x", "a" * 501)]
)
def test_nobody_asks_without_name_and_purpose(who, purpose):
    """The vault answers to a name and a purpose of one line, and to nothing less."""
    with pytest.raises(ValueError, match="purpose"):
        Asker(who, purpose)
