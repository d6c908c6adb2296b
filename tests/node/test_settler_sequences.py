"""Whatever comes in whatever order, nothing that is complete is left open, and nothing is twice."""

import itertools
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import select

from dicom.entity import Arrival, Instance, Location, Origin, SeriesKey
from node.admission import AssociationFacts
from node.associations import AssociationBook
from node.conversation import Ending, Outcome
from node.settler import Settler
from node.traits import Traits
from routing.job import State
from routing.rules import Per, compile_rule
from routing.settle import Timing, due, due_study
from storage.ledger.arrived import Arrived
from storage.ledger.expectations import Expected
from storage.ledger.ledger import Ledger
from storage.ledger.schema import series
from storage.ledger.settling_schema import studies
from storage.spool.reader import SpoolReader

TIMING = Timing(quiet_s=30, release_s=1, incomplete_s=300, study_quiet_s=120)
RULES = [
    compile_rule("each", {}, send=["lake"], infer=["lungs"], results_to=["pacs"]),
    compile_rule("whole", {}, send=["lake"], per=Per.STUDY),
]
SERIES = st.sampled_from(["1", "2", "3"])
ASSOCIATIONS = st.sampled_from(["a", "b", "c"])


class Sequences(RuleBasedStateMachine):
    """A Study that comes in, and a settler that looks at it now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.ledger = Ledger.open(root)
        self.traits = Traits(SpoolReader(root), RULES, ())
        self.settler = self.new_settler()
        self.book = AssociationBook()
        self.numbers = itertools.count(1)
        self.now = 1000.0
        self.stepped = False

    def new_settler(self) -> Settler:
        ledger = self.ledger
        return Settler(ledger.settling, ledger.studies, self.traits, RULES, TIMING)

    def teardown(self) -> None:
        self.settle_all()
        self.ledger.close()
        self.folder.cleanup()

    @rule(uid=SERIES, association=ASSOCIATIONS, skipped=st.booleans(), result=st.booleans())
    def arrive(self, uid: str, association: str, *, skipped: bool, result: bool) -> None:
        """An Instance comes; its number may leave a hole."""
        number = next(self.numbers) + skipped
        origin, made_by = (Origin.AI, "each") if result else (Origin.DIMSE, "")
        key = SeriesKey("1.2", f"1.2.{'9' if result else uid}")
        arrival = Arrival("1.2.3", f"1.2.{uid}.{next(self.numbers)}", "1.2.840.10008.1.2", "CT1",
                          "N", association, "h", self.now, origin, made_by)  # fmt: skip
        instance = Instance(arrival, Location("s", 0, 1), "d")
        texts = {"Modality": "CT", "InstanceNumber": str(number)}
        self.ledger.intake.absorb([Arrived(instance, key, texts)], {}, self.now)
        self.stepped = False

    @rule(association=ASSOCIATIONS)
    def release(self, association: str) -> None:
        """An association ends in order."""
        facts = AssociationFacts(association, "CT1", "N", "h", self.now, None)
        self.book.on_closed(facts, Ending(Outcome.RELEASED, "", {}, 0, 1.0))
        self.stepped = False

    @rule(uid=st.sampled_from(["", "1", "2"]), count=st.integers(0, 6))
    def announce(self, uid: str, count: int) -> None:
        """Somebody says how many there are."""
        said = Expected("1.2", f"1.2.{uid}" if uid else "", "mpps", count)
        self.ledger.expectations.note([said], self.now)
        self.stepped = False

    @rule(seconds=st.sampled_from([0.1, 0.9, 5, 29, 100, 301, -50, -10_000]))
    def wait(self, seconds: float) -> None:
        """Time passes; or the clock is set back."""
        self.now += seconds
        self.stepped = False

    @rule()
    def restart(self) -> None:
        """The node starts again, and knows no association any more."""
        self.settler, self.book = self.new_settler(), AssociationBook()
        self.stepped = False

    @rule()
    def step(self) -> None:
        """The settler comes around, often enough for what follows from what it did."""
        for _ in range(3):
            self.settler.step(self.now, self.book.closed())
        self.stepped = True

    @invariant()
    def nothing_complete_is_open(self) -> None:
        """After the settler came around, every open Series and Study has time to wait."""
        if not self.stepped:
            return
        closed = self.book.closed()
        for one in self.ledger.settling.candidates(1e12, closed.was_released):
            assert due(one.pending, TIMING).at > self.now, one
        for study in self.ledger.studies.candidates(1e12):
            complete = due_study(study.pending, TIMING)
            assert complete is None or complete.at > self.now, study

    @invariant()
    def nothing_is_owed_twice(self) -> None:
        """A revision of a Series owes a target once by each rule."""
        made = Counter(
            (job.spec.rule, job.spec.kind, job.spec.target, job.spec.series, job.spec.revision)
            for job in self.ledger.jobs.list(list(State))
        )
        assert not [job for job, times in made.items() if times > 1]

    def settle_all(self) -> None:
        """In the end all is settled, and every newest revision has been sent by either rule."""
        for _ in range(5):
            self.now += TIMING.longest_s
            self.step()
        jobs = {
            (job.spec.rule, job.spec.target, job.spec.series, job.spec.revision)
            for job in self.ledger.jobs.list(list(State))
        }
        with self.ledger.database.read() as db:
            rows = db.execute(select(series)).all()
            assert not db.execute(select(studies).where(studies.c.open)).all()
        for row in rows:
            key = SeriesKey(row.study_instance_uid, row.series_instance_uid)
            outside = row.origin != Origin.AI
            assert not row.open
            assert row.in_study == (row.revision if outside else 0)
            assert ("whole", "lake", key, row.revision) in jobs or not outside
            assert ("each", "lake" if outside else "pacs", key, row.revision) in jobs


TestSequences = Sequences.TestCase
TestSequences.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
