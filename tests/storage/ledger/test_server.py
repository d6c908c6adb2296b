"""The ledger's server: turns of writers, order of events, news, and its absence."""

import threading
import time
from pathlib import Path

import psycopg
import pytest

from dicom.entity import SeriesKey
from dicom.errors import StorageFault
from examples.peers import postgres
from examples.peers.process import wait_until
from routing.job import Kind, NewJob
from storage.ledger import claims, events, jobs, schema
from storage.ledger.database import Away, Database, Server, fault_of
from storage.ledger.job_rows import new_row
from storage.ledger.ledger import Ledger
from storage.ledger.news import News
from storage.ledger.schema import EVENTS_CHANNEL, JOBS_CHANNEL

SOON_S = 0.1
"""A job is in the hands of another machine's worker so soon after its commit."""
HERE = Path("/nowhere")


@pytest.fixture
def server(new_server) -> Server:
    return new_server()


@pytest.fixture
def ledgers(server):
    """Two processes' ledgers, as if on two machines."""
    opened = [Ledger.open(HERE, server) for _ in range(2)]
    yield opened
    for one in opened:
        one.close()


def told(number: int) -> events.NewEvent:
    return events.NewEvent("penumbra.test", str(number), {})


def test_no_reader_skips_an_event(ledgers):
    """Who reads behind the last id that was seen sees every event, however commits overlap."""
    first, second = ledgers
    done, seen = threading.Event(), []

    def write(ledger: Ledger, begin: int) -> None:
        for number in range(begin, begin + 40):
            ledger.outbox.record([told(number), told(number)], 1)

    def read() -> None:
        while True:
            last = done.is_set()
            after = seen[-1].id if seen else 0
            seen.extend(second.outbox.after(after, 1000))
            if last:
                return

    writers = [
        threading.Thread(target=write, args=(ledger, begin))
        for ledger in (first, second)
        for begin in (0, 100)
    ]
    reader = threading.Thread(target=read)
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert len(seen) == 320


def test_one_node_publishes_for_all(ledgers):
    """Of two nodes one is given what waits for a broker, until it ends or is cut off."""
    first, second = ledgers
    first.outbox.record([told(1)], 1)
    assert [event.subject for event in second.outbox.unpublished(9)] == ["1"]
    assert first.outbox.unpublished(9) == []
    assert len(second.outbox.unpublished(9)) == 1, "it keeps its turn"
    with first.database.write() as db:
        others = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
        mine = "locktype = 'advisory' AND pid <> pg_backend_pid()"
        assert db.exec_driver_sql(f"{others} WHERE {mine}").scalar_one() == 1
    wait_until(lambda: first.outbox.unpublished(9), 5, "the other's turn")
    with pytest.raises(Away):
        second.outbox.unpublished(9)
    assert second.outbox.unpublished(9) == []
    first.outbox.rest()
    wait_until(lambda: second.outbox.unpublished(9), 5, "the turn that was given up")


def test_writers_take_turns(ledgers):
    """What a transaction reads before it writes still holds when it writes."""
    counts = []

    def add(ledger: Ledger) -> None:
        for _ in range(20):
            with ledger.database.write() as db:
                newest = db.exec_driver_sql("SELECT count(*) FROM event").scalar_one()
                events.record(db, [told(newest)], 1)
                counts.append(newest)

    threads = [threading.Thread(target=add, args=(ledger,)) for ledger in ledgers * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counts) == list(range(80))


def test_a_job_reaches_another_machine_at_once(ledgers):
    """A worker that listens has a job in hand within 100 ms of the commit that wrote it."""
    here, there = ledgers
    bell, claimed = threading.Event(), []
    news = News(there.database, {JOBS_CHANNEL: bell.set})
    news.start()
    try:
        assert bell.wait(5)  # it listens now
        for number in range(5):
            bell.clear()
            with here.database.write() as db:
                new = NewJob(Kind.FORWARD, SeriesKey("1.2", str(number)), 1, "r", "lake")
                jobs.insert(db, [new], 1)
            begun = time.monotonic()
            assert bell.wait(5)
            assert there.jobs.claim("w", {Kind.FORWARD}, 2, 30)
            claimed.append(time.monotonic() - begun)
    finally:
        news.stop()
    assert min(claimed) < SOON_S, claimed


def test_an_event_wakes_whoever_publishes(ledgers):
    """What another process writes ends the wait for events."""
    here, there = ledgers
    listening = threading.Event()

    def heard() -> None:
        there.outbox.notify()
        listening.set()

    news = News(there.database, {EVENTS_CHANNEL: heard})
    news.start()
    try:
        assert listening.wait(5)
        there.outbox.wait(0)
        here.outbox.record([told(1)], 1)
        assert there.outbox.wait(5)
    finally:
        news.stop()


def test_sqlite_tells_nothing(tmp_path):
    """Where there is no server, listening is nothing, and ending it too."""
    database = Database.open(tmp_path)
    news = News(database, {JOBS_CHANNEL: lambda: None})
    news.start()
    news.stop()
    database.close()


def test_a_server_that_comes_late_is_used_then(tmp_path, postgres_cluster):
    """Who is patient opens while nobody answers, hears Away until then, and goes on by itself."""
    with postgres.cluster() as cluster:
        server = Server(cluster.url())
        with pytest.raises(Away):
            Database.open(tmp_path, server)
        ledger = Ledger.open(tmp_path, server, patient=True)
        before = ledger.database.now()
        with pytest.raises(Away, match="connection"):
            ledger.jobs.counts()
        with cluster.running() as process:
            ledger.outbox.record([told(1)], 1)
            process.kill()
            process.wait()
            with pytest.raises(Away):
                ledger.outbox.record([told(2)], 1)
        with cluster.running():
            wait_until(lambda: _records(ledger), 20, "the ledger's return")
            assert [event.subject for event in ledger.outbox.after(0, 9)][:1] == ["1"]
        assert ledger.database.now() > before
        ledger.close()


def _records(ledger: Ledger) -> bool:
    try:
        ledger.outbox.record([told(3)], 1)
    except Away:
        return False
    return True


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_claim_reads_few_rows_of_many(ledgers, analyzed):
    """Beside ten thousand jobs that wait, PostgreSQL's plan steps through an index, and no more."""
    ledger, targets = ledgers[0], ("dead", "paused", "tired")
    new = [
        NewJob(Kind.FORWARD, SeriesKey("1.2", str(n)), 1, "r", targets[n % 3])
        for n in range(10_000)
    ]
    with ledger.database.write() as db:
        db.execute(schema.jobs.insert(), [new_row(job, 0) for job in new])
        if analyzed:
            db.exec_driver_sql("ANALYZE job")
    statement = claims.of_targets((Kind.FORWARD, Kind.INFER), ("", "n"))
    with ledger.database.read() as db:
        compiled = statement.compile(
            dialect=db.dialect, compile_kwargs={"render_postcompile": True}
        )
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}"
        bound = compiled.construct_params({"now": 1.0})
        (told,) = db.exec_driver_sql(explain, bound).scalar_one()
    steps = list(_nodes(told["Plan"]))
    of_jobs = [step for step in steps if step.get("Relation Name") == "job"]
    assert not [step for step in of_jobs if step["Node Type"] in {"Seq Scan", "Bitmap Heap Scan"}]
    read = sum(step["Actual Rows"] * step["Actual Loops"] for step in of_jobs)
    assert 3 <= read < 100


def _nodes(plan):
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)


def test_text_with_nul_is_kept(ledgers):
    """What PostgreSQL cannot hold is shown as a character that stands for it."""
    first, second = ledgers
    first.outbox.record([events.NewEvent("penumbra.test", "a\0b", {})], 1)
    assert [event.subject for event in second.outbox.after(0, 9)] == ["a\N{REPLACEMENT CHARACTER}b"]


def test_faults_hold_no_values(server):
    """A fault names the kind and the place, and neither password nor parameters."""
    database = Database.open(HERE, server)
    row = "('KANARIENVOGEL', 'x', 'y', 1)"
    with pytest.raises(StorageFault) as caught, database.write() as db:
        db.exec_driver_sql(f"INSERT INTO pause VALUES {row}, {row}")
    database.close()
    assert "UniqueViolation 23505 pause_pkey" in str(caught.value)
    assert "KANARIENVOGEL" not in str(caught.value)
    assert "geheim" not in repr(Server("postgresql://u@h/d", "geheim"))
    wrong = Server(server.url.replace("127.0.0.1", "127.0.0.9"), "geheim")
    with pytest.raises(Away) as away:
        Database.open(HERE, wrong)
    assert "geheim" not in str(away.value)


@pytest.mark.parametrize(
    ("cause", "retry"),
    [
        (psycopg.OperationalError("gone"), True),
        (psycopg.errors.LockNotAvailable("held"), True),
        (psycopg.errors.UniqueViolation("twice"), False),
        (psycopg.errors.SyntaxError("what"), False),
        (OSError("disk"), False),
    ],
)
def test_what_passes_is_tried_again(cause, retry):
    """A server that is away or busy is worth another try, a statement that is wrong is not."""
    assert fault_of("ledger", cause).retry is retry
