"""The ledger's record of de-identification: idempotent, batched, each account stored once."""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, select

from dicom.entity import Arrival, Instance, Location, SeriesKey
from storage.destinations.base import Receipt
from storage.evidence import schema
from storage.evidence.entry import Account, Clean, Entry, Source
from storage.ledger.ledger import Ledger

KEY = SeriesKey("1.2.3", "1.2.3.4")
ACCOUNT = Account((("(0010,0010)", "P"), ("(0008,1140)/(0008,1155)", "U")), ("retain-device",))


def entry(number: int, *, profile: str = "p" * 64, at: float = 10, new: str = "2.25.9") -> Entry:
    source = Source(KEY, f"1.2.3.4.{number}", f"{number:064x}")
    clean = Clean(new, f"{new}.1", f"{new}.1.{number}", "PQRSTUV")
    return Entry(source, profile, "rule", 7, "0.1.0", at, clean, ACCOUNT)


def quarantined(number: int, at: float = 10, reason: str = "self-check: a name") -> Entry:
    return replace(entry(number, at=at), clean=None, code="not-clean", reason=reason)


def instance(each: Entry) -> Instance:
    arrival = Arrival("1.2", each.source.sop_instance_uid, "1.2.1", "A", "B", "a", "x", 1.0)
    return Instance(arrival, Location("s", 0, 1), each.source.digest)


def count(ledger: Ledger, table) -> int:
    with ledger.database.read() as db:
        return db.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path)
    yield opened
    opened.close()


def test_what_was_written_is_read_back(ledger: Ledger):
    """Each fact of an entry comes back, its account by digest."""
    first, second = entry(1), quarantined(2)
    assert ledger.evidence.add([first, second]) == 2
    found = ledger.evidence.of_study("1.2.3")
    accounts = ledger.evidence.accounts(each.account for each in found)
    again = [replace(each.entry, account=accounts[each.account]) for each in found]
    assert again == [first, second]


def test_trying_again_changes_no_word(ledger: Ledger):
    """The same outcome of the same object is one row, with the time of the first."""
    ledger.evidence.add([entry(1, at=10), quarantined(2, at=10)])
    assert ledger.evidence.add([entry(1, at=20), quarantined(2, at=20), quarantined(2, at=21)]) == 0
    found = ledger.evidence.of_study("1.2.3")
    assert [(each.entry.at, each.last_at) for each in found] == [(10, 20), (10, 21)]


def test_another_outcome_is_another_row(ledger: Ledger):
    """A quarantine does not hide that the object left before, nor the reverse."""
    ledger.evidence.add([entry(1, at=10)])
    ledger.evidence.add([quarantined(1, at=20)])
    assert [each.entry.clean is None for each in ledger.evidence.of_study("1.2.3")] == [False, True]


def test_a_new_reason_takes_the_place_of_the_old(ledger: Ledger):
    """An object that stays in quarantine has one row: the newest reason."""
    ledger.evidence.add([quarantined(1, 10)])
    assert ledger.evidence.add([quarantined(1, 20, "no pixels")]) == 1
    (found,) = ledger.evidence.of_study("1.2.3")
    assert (found.entry.reason, found.entry.at) == ("no pixels", 20)


def test_an_account_is_stored_once(ledger: Ledger):
    """A thousand objects that agree share one account."""
    ledger.evidence.add([entry(number) for number in range(1000)])
    assert count(ledger, schema.evidence) == 1000
    assert count(ledger, schema.accounts) == 1


def test_a_study_is_found_by_either_name(ledger: Ledger):
    """By a new UID come its objects and what was quarantined; never those of another project."""
    ledger.evidence.add([entry(1), quarantined(2)])
    ledger.evidence.add([entry(1, profile="q" * 64, new="2.25.8")])
    ledger.evidence.add([replace(quarantined(3), profile="q" * 64)])
    both = ledger.evidence.of_study("1.2.3")
    one = ledger.evidence.of_study("2.25.9")
    assert [len(both), len(one)] == [4, 2]
    assert {each.entry.profile for each in one} == {"p" * 64}
    assert ledger.evidence.of_study("2.25.7") == []


def test_deliveries_come_from_receipts(ledger: Ledger):
    """Each receipt of a clean object under its profile is given, of no other."""
    first, other = entry(1), entry(1, profile="q" * 64, new="2.25.8")
    ledger.evidence.add([first, other, quarantined(2)])
    for number, (one, destination) in enumerate([(first, "a"), (first, "b"), (other, "a")]):
        assert one.clean
        receipt = Receipt(
            destination, one.source.digest, one.clean.sop_instance_uid, f"/{number}",
            "d" * 64, "d" * 64, "read-back", 5.0 + number,
        )  # fmt: skip
        ledger.receipts.add(1, one.profile, [(instance(one), receipt)])
    found = ledger.evidence.deliveries(ledger.evidence.of_study("2.25.9"))
    assert [(each.destination, each.location, each.delivered_at) for each in found] == [
        ("a", "/0", 5.0),
        ("b", "/1", 6.0),
    ]


def test_a_profile_is_described_once(ledger: Ledger):
    """What a digest stood for at first stays; an unknown one stands for nothing."""
    ledger.evidence.describe("p", {"name": "research", "exceptions": [{"reason": "ü"}]})
    ledger.evidence.describe("p", {"name": "other"})
    assert ledger.evidence.description("p") == {
        "name": "research",
        "exceptions": [{"reason": "ü"}],
    }
    assert ledger.evidence.description("q") is None


def _write(folder: Path, begin: int) -> None:
    ledger = Ledger.open(folder)
    for at in range(begin, begin + 200, 20):
        ledger.evidence.add([entry(number) for number in range(at, at + 20)])
    ledger.close()


def test_two_writers_lose_nothing(tmp_path: Path):
    """Two processes that write overlapping objects at once end with each object once."""
    Ledger.open(tmp_path).close()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path, begin)) for begin in (0, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    ledger = Ledger.open(tmp_path)
    assert count(ledger, schema.evidence) == 300
    assert count(ledger, schema.accounts) == 1
    ledger.close()


def test_threads_of_one_process_share_it(ledger: Ledger):
    """Threads that describe and write at once end with one row for each."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ledger.evidence.add([entry(1), quarantined(2)]), range(16)))
        list(pool.map(lambda n: ledger.evidence.describe("p", {"name": str(n)}), range(16)))
    assert count(ledger, schema.evidence) == 2
    assert count(ledger, schema.profiles) == 1


def test_it_costs_little(ledger: Ledger):
    """An object's evidence takes under a millisecond, written in batches as receipts are."""
    actions = tuple((f"(0010,{number:04X})", "X") for number in range(120))
    entries = [replace(entry(n), account=Account(actions)) for n in range(1000)]
    begun = time.perf_counter()
    for at in range(0, 1000, 100):
        ledger.evidence.add(entries[at : at + 100])
    assert time.perf_counter() - begun < 1


def test_a_ledger_of_before_gains_the_tables(tmp_path: Path):
    """A ledger that was made without evidence is opened as it is, and holds it from then on."""
    ledger = Ledger.open(tmp_path)
    with ledger.database.write() as db:
        for table in (schema.evidence, schema.accounts, schema.profiles):
            table.drop(db)
    ledger.close()
    again = Ledger.open(tmp_path)
    assert again.evidence.add([entry(1)]) == 1
    again.close()


@pytest.mark.p3
def test_the_quarantined_are_counted_by_their_newest_word(ledger: Ledger):
    """Each object counts once per profile, under its last fault, until it has come through."""
    assert ledger.evidence.quarantined() == {}
    broken = replace(quarantined(3), code="deid", reason="cannot be walked to its end")
    elsewhere = replace(quarantined(1), profile="q" * 64)
    ledger.evidence.add([entry(4), quarantined(1), quarantined(2), broken, elsewhere])
    assert ledger.evidence.quarantined() == {"deid": 1, "not-clean": 3}
    ledger.evidence.add([replace(broken, code="not-clean")])
    assert ledger.evidence.quarantined() == {"not-clean": 4}
    ledger.evidence.add([entry(1, at=20)])
    assert ledger.evidence.quarantined() == {"not-clean": 3}
    ledger.evidence.add([quarantined(1, at=30), quarantined(4, at=30)])
    assert ledger.summary()["quarantined"] == {"not-clean": 5}


def test_counting_the_quarantined_reads_few_rows(ledger: Ledger):
    """A scrape looks at the index of the quarantined alone, not at every object."""
    asked: list[str] = []
    event.listen(Engine, "before_cursor_execute", lambda *call: asked.append(call[2]), named=False)
    ledger.evidence.quarantined()
    (query,) = (each for each in asked if "later" in each)
    with ledger.database.read() as db:
        plan = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert any("evidence_quarantined" in str(step) for step in plan)
    assert not any("SCAN later" in str(step) for step in plan)
