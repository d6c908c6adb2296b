"""Several nodes on one ledger: whose log, whose Series, whose jobs, and what was staged."""

from pathlib import Path

import pytest

from dicom.commitment import Reference, Request
from dicom.entity import Arrival, Instance, Location, Origin, SeriesKey
from routing.job import Kind, NewJob, State
from routing.settle import Completion, Reason
from storage.ledger.arrived import Arrived
from storage.ledger.database import Database
from storage.ledger.expectations import Expected
from storage.ledger.jobs import insert
from storage.ledger.ledger import Ledger
from storage.ledger.past import Past
from storage.spool.identity import ensure_identity, identity

KEY = SeriesKey("1.2", "1.2.3")
KINDS = {Kind.FORWARD, Kind.INFER, Kind.STAGE}


@pytest.fixture
def open_node(new_server, tmp_path):
    """Open one ledger from the folders of several machines."""
    server, opened = new_server(), []

    def open_it(name: str, *, has_spool: bool = True) -> Ledger:
        if has_spool:
            ensure_identity(tmp_path / name / "spool", name)
        opened.append(Ledger.open(tmp_path / name, server))
        return opened[-1]

    yield open_it
    for ledger in opened:
        ledger.close()


def arrived(number: int, key: SeriesKey = KEY) -> Arrived:
    arrival = Arrival(
        "1.2.840.10008.5.1.4.1.1.2", f"1.2.3.{number}", "1.2.840.10008.1.2.1",
        "CT", "PENUMBRA", "a1", "10.0.0.1", 10.0, Origin.DIMSE, "",
    )  # fmt: skip
    place = Location("w-1", 64 * number, 60)
    return Arrived(Instance(arrival, place, f"{number:064}"), key, {"Modality": "CT"})


def settle(ledger: Ledger, *owed: NewJob) -> bool:
    (one,) = ledger.settling.candidates(20, lambda _: True)
    return ledger.settling.settle(one, Completion(Reason.RELEASED, "", 0.0), owed, 20)


def forward(key: SeriesKey = KEY, revision: int = 1) -> NewJob:
    return NewJob(Kind.FORWARD, key, revision, "r", "lake")


def claimed(ledger: Ledger, kinds=KINDS) -> Kind | None:
    job = ledger.jobs.claim("w", kinds, 30, 30)
    return job and job.spec.kind


def test_each_node_follows_its_own_log(open_node):
    """Segments of one name in two spools are two segments."""
    a, b = open_node("a"), open_node("b")
    a.intake.absorb([arrived(1)], {"w-1": 128}, 11)
    b.intake.absorb([arrived(2)], {"w-1": 192}, 11)
    assert (a.intake.positions(), b.intake.positions()) == ({"w-1": 128}, {"w-1": 192})
    places = [one.location for one in a.receipts.of_series(KEY)]
    assert [(place.node, place.offset) for place in places] == [("a", 64), ("b", 128)]


def test_a_series_is_settled_by_the_node_that_has_it(open_node):
    """Another front leaves it alone, and its workers are not given its jobs."""
    a, b = open_node("a"), open_node("b")
    a.intake.absorb([arrived(1)], {}, 11)
    assert b.settling.candidates(20, lambda _: True) == []
    assert settle(a, forward(), NewJob(Kind.INFER, KEY, 1, "r", "m"))
    elsewhere = open_node("c", has_spool=False)
    assert claimed(b) is claimed(elsewhere) is None
    assert {claimed(a), claimed(a)} == {Kind.FORWARD, Kind.INFER}


def test_a_series_is_spoken_for_by_what_can_be_read(open_node):
    """Rules read an object of the spool at hand, where there is one."""
    a, b, c = open_node("a"), open_node("b"), open_node("c", has_spool=False)
    a.intake.absorb([arrived(1)], {}, 11)
    b.intake.absorb([arrived(2)], {}, 11)
    spoken = [next(Past(one.database).of_study(KEY.study_instance_uid)) for one in (a, b, c)]
    assert [one.example.location.node for one in spoken] == ["a", "b", "a"]


def test_each_node_delivers_its_part_of_a_series(open_node):
    """Where objects of a Series came in over two nodes, each has a job, and owes what it has."""
    a, b = open_node("a"), open_node("b")
    a.intake.absorb([arrived(1)], {}, 11)
    b.intake.absorb([arrived(2)], {}, 11)
    assert settle(a, forward(), forward())
    assert (claimed(a), claimed(b)) == (Kind.FORWARD, None), "one lane: one at a time"
    owed = [one.receipts.owed(KEY, "lake", "") for one in (a, b)]
    assert [[i.arrival.sop_instance_uid for i in each] for each in owed] == [
        ["1.2.3.1"],
        ["1.2.3.2"],
    ]
    assert len(a.jobs.list([State.WAITING, State.RUNNING])) == 2


def test_a_job_written_from_afar_waits_for_the_bytes(open_node):
    """Who has no spool and writes a job, writes it for the node that has the Series, once."""
    a, c = open_node("a"), open_node("c", has_spool=False)
    a.intake.absorb([arrived(1)], {}, 11)
    assert settle(a, forward())
    for ledger in (a, c):
        with ledger.database.write() as db:
            insert(db, [forward(), NewJob(Kind.INFER, KEY, 1, "r", "m")], 20)
    assert claimed(c) is None
    assert {claimed(a), claimed(a), claimed(a)} == {Kind.FORWARD, Kind.INFER, None}


def test_what_was_staged_is_everybodys(open_node):
    """Once all of a Series is staged, any worker may deliver it; models stay with the node."""
    a, c = open_node("a"), open_node("c", has_spool=False)
    a.intake.absorb([arrived(1), arrived(2)], {}, 11)
    stage = NewJob(Kind.STAGE, KEY, 1, "", "bucket", priority=1)
    assert settle(a, stage, forward(), NewJob(Kind.INFER, KEY, 1, "r", "m"))
    job = a.jobs.claim("w", {Kind.STAGE}, 30, 30)
    assert job
    first, second = a.staging.lacking(KEY)
    a.staging.add(KEY, [(first, "s3://b/1")], 31)
    assert not a.staging.offer(KEY)
    assert claimed(c) is None
    a.staging.add(KEY, [(first, "s3://b/1"), (second, "s3://b/2")], 31)
    assert a.staging.lacking(KEY) == []
    assert a.staging.offer(KEY)
    assert [len(c.receipts.owed(KEY, "lake", "")), claimed(c), claimed(c)] == [
        2, Kind.FORWARD, None,
    ]  # fmt: skip
    assert c.staging.find(second.location) == (second.digest, "s3://b/2")
    assert c.staging.find(Location("w-1", 0, 60, "a")) is None


def test_what_is_staged_stays_while_a_job_needs_it(open_node):
    """It leaves when the last job of its Series has ended, and counts as gone from then on."""
    a = open_node("a")
    a.intake.absorb([arrived(1)], {}, 11)
    assert settle(a, forward())
    (one,) = a.staging.lacking(KEY)
    a.staging.add(KEY, [(one, "s3://b/1")], 31)
    assert a.staging.leaving(32, 10) == []
    job = a.jobs.claim("w", {Kind.FORWARD}, 33, 30)
    assert job
    assert a.staging.leaving(34, 10) == []
    assert a.jobs.finish(job, 35)
    assert a.staging.leaving(36, 10) == ["s3://b/1"]
    assert a.staging.is_leaving(KEY)
    assert a.staging.find(one.location) is None
    a.staging.forget(["s3://b/1"])
    assert not a.staging.is_leaving(KEY)
    assert len(a.staging.lacking(KEY)) == 1


def test_a_spool_keeps_its_name(tmp_path: Path):
    """Whoever asks second gets the first one's name; a spool without one has none."""
    root = tmp_path / "spool"
    assert identity(root) == ""
    assert [ensure_identity(root, "first"), ensure_identity(root, "second")] == ["first", "first"]
    assert identity(root) == "first"
    assert [file.name for file in root.iterdir()] == ["node.id"]


def test_a_ledger_of_its_own_knows_no_nodes(tmp_path: Path):
    """On SQLite every object and every job is at hand, whatever the spool is called."""
    ensure_identity(tmp_path / "spool", "a")
    ledger = Ledger.open(tmp_path)
    ledger.intake.absorb([arrived(1)], {"w-1": 128}, 11)
    assert settle(ledger, forward())
    assert claimed(ledger) is Kind.FORWARD
    assert ledger.receipts.of_series(KEY)[0].location.node == ""
    ledger.close()


def test_a_study_is_one_at_each_node(open_node):
    """Series of one Study that came in over two nodes are planned by each node for itself."""
    a, b = open_node("a"), open_node("b")
    a.intake.absorb([arrived(1)], {}, 11)
    b.intake.absorb([arrived(2, SeriesKey("1.2", "1.2.4"))], {}, 11)
    for ledger in (a, b):
        assert settle(ledger)
        (study,) = ledger.studies.candidates(1e9)
        assert study.traits.series == 1
        assert ledger.studies.settle(
            study, ledger.studies.series_of("1.2"), Completion(Reason.QUIET, "", 0.0), [], 40
        )


def test_what_was_announced_of_a_study_may_come_over_two_nodes(open_node):
    """Where all of it is there, neither node waits for what lies in the other's spool."""
    a, b = open_node("a"), open_node("b")
    a.expectations.note([Expected("1.2", "", "mpps", 2)], 10)
    a.intake.absorb([arrived(1)], {}, 11)
    b.intake.absorb([arrived(2, SeriesKey("1.2", "1.2.4"))], {}, 11)
    for ledger in (a, b):
        assert settle(ledger)
        (study,) = ledger.studies.candidates(1e9)
        assert [(one.count, one.missing) for one in study.pending.announced] == [(2, 0)]


def test_databases_are_told_apart(tmp_path: Path, new_server):
    """What is shared says so, and what is not does not."""
    for server, shared in ((None, False), (new_server(), True)):
        database = Database.open(tmp_path, server)
        assert database.is_shared is shared
        assert database.now() > 1e9
        database.close()


def test_a_request_for_commitment_is_its_nodes_to_judge(open_node):
    """The node that has the association judges and reports; another one once that has died."""
    a, b = open_node("a"), open_node("b")
    wanted = (Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3.1"),)
    number = a.commitments.receive(Request("1.9", wanted), "CT1", 100)
    assert [one.id for one in a.commitments.due(100)] == [number]
    assert b.commitments.due(159) == []
    assert [one.id for one in b.commitments.due(160)] == [number]
