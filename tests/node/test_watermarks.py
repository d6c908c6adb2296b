"""Watermarks: slow down, send away, refuse, and back again; by pure rules and on a small disk."""

import shutil
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from config.model import Node
from dicom.errors import StorageFault
from examples.peers.process import wait_until
from node.watermarks import (
    LONGEST_PAUSE_S,
    LOOK_S,
    MB,
    DiskState,
    Marks,
    Watermarks,
    judge,
    pause,
)
from storage.spool.segment import ROOM_CHECK_S, Room

MARKS = Marks(4000, 2000, 1000)
OK, SLOW, REFUSING, FULL = DiskState
STORAGE = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"

marks = st.lists(st.integers(0, 10_000), min_size=3, max_size=3).map(
    lambda found: Marks(*sorted(found, reverse=True))
)
free = st.integers(0, 12_000)


@pytest.mark.parametrize(
    ("free_bytes", "before", "state"),
    [
        (10_000, OK, OK),
        (4000, OK, OK),
        (3999, OK, SLOW),
        (1999, OK, REFUSING),
        (999, OK, FULL),
        (0, OK, FULL),
        (4499, SLOW, SLOW),
        (4500, SLOW, OK),
        (2249, REFUSING, REFUSING),
        (2250, REFUSING, SLOW),
        (10_000, REFUSING, OK),
        (1124, FULL, FULL),
        (1125, FULL, REFUSING),
        (2200, FULL, REFUSING),
        (2250, FULL, SLOW),
        (1999, SLOW, REFUSING),
    ],
)
def test_states(free_bytes, before, state):
    """A worse state begins at its mark; a better one an eighth of the mark above it."""
    assert judge(free_bytes, MARKS, before) is state


@given(free, marks, st.sampled_from(DiskState))
def test_no_state_is_better_than_its_mark_allows(free_bytes, marks, before):
    """Whatever came before, the state is never better than room alone would make it."""
    assert judge(free_bytes, marks, before) >= judge(free_bytes, marks, OK)


@given(free, free, marks, st.sampled_from(DiskState))
def test_less_room_is_never_better(one, other, marks, before):
    """With less room the state is as bad or worse, and the pause as long or longer."""
    less, more = sorted((one, other))
    assert judge(less, marks, before) >= judge(more, marks, before)
    assert pause(less, marks) >= pause(more, marks)


@given(free, marks, st.sampled_from(DiskState))
def test_a_state_stays_while_room_does(free_bytes, marks, before):
    """Asked again with the same room, the state does not change: it cannot flap."""
    state = judge(free_bytes, marks, before)
    assert judge(free_bytes, marks, state) is state


@given(free)
def test_marks_of_zero_are_off(free_bytes):
    """Without marks there is neither state nor pause."""
    assert judge(free_bytes, Marks(0, 0, 0), OK) is OK
    assert pause(free_bytes, Marks(0, 0, 0)) == 0


@pytest.mark.parametrize(
    ("free_bytes", "pause_s"),
    [(4001, 0), (4000, 0), (3000, 0.125), (2500, 0.1875), (2000, 0.25), (10, 0.25)],
)
def test_the_pause_grows_with_need(free_bytes, pause_s):
    """From the first mark to the second the pause grows from nothing to its longest."""
    assert pause(free_bytes, MARKS) == pytest.approx(pause_s)


@pytest.mark.parametrize(
    ("node", "megabytes"),
    [
        ({}, (2048, 1024, 512)),
        ({"reserve_mb": 100}, (400, 200, 100)),
        ({"reserve_mb": 0}, (0, 0, 0)),
        ({"refuse_below_mb": 3000}, (6000, 3000, 512)),
        ({"slow_below_mb": 1024}, (1024, 1024, 512)),
        ({"slow_below_mb": 9, "refuse_below_mb": 8, "reserve_mb": 7}, (9, 8, 7)),
    ],
)
def test_marks_of_the_config_file(node, megabytes):
    """A mark that is not set is a multiple of the next one, so that they stay in order."""
    assert Marks.of(Node(**node)) == Marks(*(each * MB for each in megabytes))


class Walk(RuleBasedStateMachine):
    """Any path of free space through a disk."""

    def __init__(self):
        super().__init__()
        self.room = 5000
        self.told = []
        self.watermarks = Watermarks(MARKS, self.ask, lambda word, facts: self.told.append(word))

    def ask(self):
        if self.room is None:
            raise StorageFault("gone")
        return self.room

    @rule(room=st.none() | st.integers(0, 6000))
    def look(self, room):
        self.room = room
        before, told = self.watermarks.state, len(self.told)
        self.watermarks.look()
        if self.watermarks.state is before:
            assert len(self.told) <= told + 1  # the disk fell silent, or speaks again
        else:
            assert self.told[told:] == [self.watermarks.state.word]

    @invariant()
    def attributes_agree(self):
        state, pause_s = self.watermarks.state, self.watermarks.pause_s
        assert 0 <= pause_s <= LONGEST_PAUSE_S
        assert pause_s == 0 or state > OK
        assert bool(self.watermarks.trouble()) is (state >= REFUSING) or not self.told
        assert self.room is not None or state is FULL


TestWalk = Walk.TestCase


def test_a_change_is_logged_once():
    """Each change of state is one line, with words that name the setting; no change, no line."""
    room = [5000]
    watermarks = Watermarks(Marks(4 * MB, 2 * MB, MB), lambda: room[0] * MB // 1000)
    with structlog.testing.capture_logs() as lines:
        for room[0] in (5000, 3900, 3500, 4100, 1900, 1500, 900, 5000, 5000):
            watermarks.look()
    assert [(one["before"], one["state"], one["log_level"]) for one in lines] == [
        ("ok", "slow", "warning"),
        ("slow", "refusing", "warning"),
        ("refusing", "full", "warning"),
        ("full", "ok", "info"),
    ]
    for line, setting in zip(lines, ["slow_below", "refuse_below", "reserve", "well"], strict=True):
        assert setting in line["words"]


def test_a_ledger_that_takes_no_event_changes_nothing():
    """On a full disk the event may be lost; the state and the log line are not."""

    def fail(word, facts):
        raise StorageFault("database or disk is full")

    watermarks = Watermarks(MARKS, lambda: 0, fail)
    with structlog.testing.capture_logs() as lines:
        watermarks.look()
    assert watermarks.state is FULL
    assert [one["event"] for one in lines] == ["room on the disk", "event not written"]


def test_the_disk_is_asked_twice_a_second_at_most(tmp_path, monkeypatch):
    """Neither storing nor watching asks the file system more often, together."""
    asked = []

    def disk_usage(path):
        asked.append(path)
        return SimpleNamespace(free=9_999)

    monkeypatch.setattr("storage.spool.segment.shutil.disk_usage", disk_usage)
    room = Room(tmp_path, 1000)
    watermarks = Watermarks(MARKS, room.free_bytes)
    began = time.monotonic()
    watermarks.start()
    while time.monotonic() - began < 2.2 * LOOK_S:
        room.check()
    watermarks.stop()
    assert 2 <= len(asked) <= 1 + (time.monotonic() - began) / LOOK_S
    assert ROOM_CHECK_S > LOOK_S
    assert watermarks.free_bytes == 9_999


def test_the_thread_finds_out_by_itself():
    """A change is noticed without anybody storing; a bug on the way does not end the watch."""
    answers = [5000, "bug", 0]
    watermarks = Watermarks(MARKS, lambda: int(answers.pop(0) if len(answers) > 1 else answers[0]))
    watermarks.start()
    assert watermarks.state is OK
    wait_until(lambda: watermarks.state is FULL, 10, "the look at the disk")
    watermarks.stop()
    watermarks.stop()


def test_a_disk_that_hangs_is_trouble(monkeypatch):
    """When the disk has not answered for a while, no more work is asked for."""
    watermarks = Watermarks(MARKS, lambda: 5000)
    assert "not answered" in watermarks.trouble()
    watermarks.look()
    assert watermarks.trouble() == ""
    late = time.monotonic() + 60
    monkeypatch.setattr("node.watermarks.time.monotonic", lambda: late)
    assert "not answered" in watermarks.trouble()


def test_an_answer_waits_for_room(open_door, call, wire):
    """Between the marks each C-STORE is stored at once and answered a little later."""
    watermarks = Watermarks(MARKS, lambda: 2001)
    door = open_door(watermarks=watermarks)
    peer = call(door)
    peer.associate()
    assert _timed(peer, wire) < 0.2
    watermarks.look()
    assert watermarks.state is SLOW
    assert _timed(peer, wire, "1.2.4") >= 0.24
    assert len(door.stored) == 2


def test_a_pause_holds_nobody_else(open_door, call, wire):
    """Eight senders that wait do so side by side."""
    door = open_door(watermarks=(watermarks := Watermarks(MARKS, lambda: 0)))
    peers = [call(door) for _ in range(8)]
    for peer in peers:
        peer.associate()
    watermarks.look()
    began = time.monotonic()
    threads = [
        threading.Thread(target=_timed, args=(peer, wire, f"1.2.{number}"))
        for number, peer in enumerate(peers)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert 0.24 <= time.monotonic() - began < 8 * 0.24


def _timed(peer, wire, uid="1.2.3"):
    began = time.monotonic()
    assert peer.store(wire.dataset_of(uid, size_bytes=100), sop_instance=uid) == 0
    return time.monotonic() - began


def test_below_the_second_mark_who_stores_is_sent_away(open_door, call, wire):
    """The same caller may still ask and verify; an association under way goes on; then all may."""
    room = [0]
    watermarks = Watermarks(MARKS, lambda: room[0])
    door = open_door(watermarks=watermarks)
    early = call(door)
    early.associate()
    watermarks.look()
    late = call(door)
    late.send(wire.associate_rq())
    assert late.read_pdu() == (3, bytes([0, 2, 3, 1]))
    both = call(door)
    both.send(wire.associate_rq((FIND, wire.IMPLICIT), (STORAGE, wire.IMPLICIT)))
    assert both.read_pdu() == (3, bytes([0, 2, 3, 1]))
    assert call(door).associate((FIND, wire.IMPLICIT)) == {1: 0}
    assert call(door).associate((wire.VERIFICATION, wire.IMPLICIT)) == {1: 0}
    assert call(door).associate(calling="NOSTORE") == {1: 1}
    assert early.store(wire.dataset_of()) == 0
    room[0] = 5000
    watermarks.look()
    assert call(door).associate() == {1: 0}


@pytest.mark.skipif(not shutil.which("storescu"), reason="needs Debian's dcmtk (storescu)")
def test_storescu_understands_that_it_shall_come_back(open_door, tmp_path):
    """DCMTK's storescu prints a transient rejection for temporary congestion."""
    watermarks = Watermarks(MARKS, lambda: 0)
    watermarks.look()
    door = open_door(watermarks=watermarks)
    (tmp_path / "x.dcm").write_bytes(b"")
    done = subprocess.run(
        ["storescu", "-aet", "SCANNER", "-aec", "PENUMBRA", "127.0.0.1", str(door.port),
         "+sd", tmp_path, "--propose-implicit", "-nh", "-v"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert "Rejected Transient" in done.stdout + done.stderr
    assert "Temporary Congestion" in done.stdout + done.stderr
