"""The order of measurements, and how much each sends."""

from collections import Counter

import pytest

from bench.ingest.cases import QUICK, Size
from bench.ingest.plan import BURST, BUSY, EXTRAS, MATRIX, QUIET, STORESCU, Step, steps
from bench.ingest.run import TooSmall, check_disk, check_memory
from bench.ingest.workload import WORKLOADS


def plan(**more):
    """Three servers, two workloads, five repetitions."""
    usual = {
        "clients": ["load"], "for_storescu": ["floor", "node"], "extras": [], "repetitions": 5,
    }  # fmt: skip
    return list(steps(["floor", "node", "pynetdicom"], ["mr", "ct"], [1, 4], **{**usual, **more}))


def test_servers_follow_one_another_on_the_same_load():
    """Between two servers on the same load there is nothing else, so that drift hits all alike."""
    planned = plan()
    for at in range(0, len(planned), 3):
        three = planned[at : at + 3]
        assert {step.peer for step in three} == {"floor", "node", "pynetdicom"}
        assert len({(step.work, step.associations, step.repetition) for step in three}) == 1


def test_everything_is_repeated_as_often():
    """Each server meets each load once in each repetition."""
    counts = Counter((step.peer, step.work, step.associations) for step in plan())
    assert set(counts.values()) == {5}
    assert len(counts) == 3 * 2 * 2


def test_each_repetition_starts_with_another_server():
    """No server always comes first, or always after the same one."""
    firsts = {step.repetition: step.peer for step in reversed(plan())}
    assert [firsts[n] for n in range(4)] == ["floor", "node", "pynetdicom", "floor"]


def test_storescu_sends_one_workload_to_some():
    """The second client sends CT, to those that it is meant for."""
    found = [step for step in plan(clients=["load", "storescu"]) if step.case == STORESCU]
    assert {(step.peer, step.work) for step in found} == {("floor", "ct"), ("node", "ct")}
    assert all(step.case == STORESCU for step in plan(clients=["storescu"]))


def test_extras_are_for_the_node_alone():
    """Without the node among the servers nothing is done to it."""
    found = [step for step in plan(extras=[BURST, QUIET, BUSY]) if step.case != MATRIX]
    assert len(found) == 3 * 5
    assert all((step.work, step.associations) == EXTRAS[step.case] for step in found)
    alone = steps(["floor"], ["ct"], [1], clients=["load"], for_storescu=[], extras=[BURST],
                  repetitions=1)  # fmt: skip
    assert [step.case for step in alone] == [MATRIX]


@pytest.mark.parametrize(
    ("size", "work", "associations", "count"),
    [
        (Size(), "mr", 1, 12_000),
        (QUICK, "mr", 1, 4_000),
        (Size(), "huge", 1, 4),
        (QUICK, "huge", 8, 8),
    ],
)
def test_what_is_sent_is_bounded(size, work, associations, count):
    """Small objects are bounded by a number, large ones by files and associations."""
    assert size.count(WORKLOADS[work], associations) == count


def test_the_disk_is_asked_for_what_one_measurement_writes():
    """A full run wants room for its largest measurement, a small one next to nothing."""
    large, small = Step(MATRIX, "node", "ct", 1, 0), Step(BURST, "node", "small", 4, 0)
    assert Size().needed_disk_bytes(large) > 7e9
    assert Size(burst=10).needed_disk_bytes(small) < 4.1e9


def test_a_machine_without_room_is_told_what_to_do():
    """Too little disk or memory stops a run before it starts, with the way out."""
    check_disk(5, 5)
    check_memory(10**10, {"huge"})
    check_memory(0, {"ct"})
    with pytest.raises(TooSmall, match="--scratch"):
        check_disk(4, 5)
    with pytest.raises(TooSmall, match="leave huge out of --work"):
        check_memory(10**9, {"huge"})
