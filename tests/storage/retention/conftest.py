"""A spool and a ledger with what retention needs of a node, and no clock but the test's."""

import hashlib
import io
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from sqlalchemy import select, update

from dicom.entity import Arrival, Instance, SeriesKey
from dicom.part10 import file_meta
from routing.job import Kind, NewJob, State
from routing.retention import Policy
from storage.destinations.base import Proof, Receipt
from storage.leaving import Leaving
from storage.ledger import jobs as work
from storage.ledger.arriving import ReadingHere
from storage.ledger.database import Server
from storage.ledger.follow import Follower
from storage.ledger.intake import instance_of
from storage.ledger.ledger import Ledger
from storage.ledger.paid import Paid
from storage.ledger.schema import instances, jobs, series
from storage.retention import LettingGo
from storage.spool.reader import SpoolReader
from storage.spool.sealing import SpoolKey, SpoolKeys
from storage.spool.spool import Spool

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
STUDY = "1.2.3"
DAY = 86_400.0
AT_ONCE = Policy(keep_s=0.0)


class Index:
    """Keeps positions as the real one does, and no rows."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}

    def position(self) -> Mapping[str, int]:
        return self.positions

    def add(self, _entries: object, positions: Mapping[str, int]) -> None:
        self.positions.update(positions)


class World:
    """The parts of a front that store, file, and let go; closed and opened as by a crash."""

    def __init__(
        self,
        data_dir: Path,
        *,
        segment_bytes: int = 12_000,
        keys: SpoolKeys | None = None,
        server: Server | None = None,
    ) -> None:
        self._server = server
        self.data_dir, self.root = data_dir, data_dir / "spool"
        self._segment_bytes = segment_bytes
        self.keys = keys or SpoolKeys()
        self.index = Index()
        self.holds: bool | None = True
        """What every destination says when it is asked again."""
        self.asked: list[str] = []
        self.open()

    def open(self) -> None:
        self.spool = Spool.open(
            self.root, segment_bytes=self._segment_bytes, reserve_bytes=0, key=self.keys.current
        )
        self.ledger = Ledger.open(self.data_dir, *([self._server] if self._server else []))
        self.reader = SpoolReader(self.root, self.keys)
        reading = ReadingHere(self.reader)
        self.follower = Follower(self.spool, self.reader, self.ledger.intake, self.index, reading)
        self.follow()
        self.leaving = Leaving(
            self.spool,
            SpoolReader(self.root, self.keys),
            self.ledger.places,
            self.index.position,
        )

    def close(self) -> None:
        self.spool.close()
        self.ledger.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def follow(self) -> None:
        while self.follower.index_is_behind():
            self.follower.catch_up_index()
        while self.follower.step() is not None:
            pass

    # what happens from outside

    def store(
        self,
        number: int,
        series_number: int = 1,
        *,
        size: int = 2_000,
        seed: int = 0,
        at: float = 0.0,
    ) -> str:
        """Store an object, not filed yet; returns its digest."""
        head = Dataset()
        head.SOPClassUID, head.SOPInstanceUID = CT, self.uid(number)
        head.StudyInstanceUID, head.SeriesInstanceUID = STUDY, f"{STUDY}.{series_number}"
        head.Modality, head.InstanceNumber = "CT", number
        head.add_new(0x7FE00010, "OB", random.Random(f"{number} {seed}").randbytes(size))
        stream = io.BytesIO()
        dcmwrite(stream, head, implicit_vr=False, little_endian=True)
        arrival = Arrival(CT, self.uid(number), EXPLICIT, "CT1", "PENUMBRA", "a1", "", at)
        content = file_meta(arrival) + stream.getvalue()
        with self.spool.begin(arrival) as recording:
            recording.write(content)
            recording.commit()
        return hashlib.sha256(content).hexdigest()

    def receive(self, numbers: Iterable[int], series_number: int = 1, **options: object) -> None:
        """Store objects and file them."""
        for number in numbers:
            self.store(number, series_number, **options)
        self.follow()

    def seal(self) -> None:
        """Have no segment open: a node that is started anew seals what it wrote."""
        self.reopen()

    # what workers do

    def settle(self, series_number: int = 1, targets: Sequence[str] = ("out",), at: float = 0.0):
        """Settle a Series, with a job for each target."""
        key = self.key(series_number)
        with self.ledger.database.write() as db:
            db.execute(
                update(series)
                .where(series.c.series_instance_uid == key.series_instance_uid)
                .values(open=False, revision=series.c.revision + 1)
            )
            revision = db.scalar(
                select(series.c.revision).where(
                    series.c.series_instance_uid == key.series_instance_uid
                )
            )
            owed = [NewJob(Kind.FORWARD, key, revision, "r", target) for target in targets]
            work.insert(db, owed, at)

    def jobs(self, series_number: int = 1) -> list[tuple[int, str, str]]:
        """List the jobs of a Series that are not done: id, target, state."""
        with self.ledger.database.read() as db:
            query = select(jobs).where(
                jobs.c.series_instance_uid == self.key(series_number).series_instance_uid,
                jobs.c.kind != Kind.INTAKE,
            )
            rows = db.execute(query).all()
        return [(row.id, row.target, row.state) for row in rows]

    def set_state(self, job: int, state: State) -> None:
        with self.ledger.database.write() as db:
            db.execute(update(jobs).where(jobs.c.id == job).values(state=state))

    def deliver(self, series_number: int = 1, at: float = 0.0) -> None:
        """Do every waiting job of a Series, as a worker that finds everything in the spool."""
        for job, target, state in self.jobs(series_number):
            if state == State.WAITING:
                self.pay(job, target, series_number, at)
                self.set_state(job, State.DONE)

    def pay(
        self, job: int, target: str, series_number: int = 1, at: float = 0.0, most: int = 1000
    ) -> list[tuple[str, str]]:
        """Deliver what a job owes, each object read first; names them by UID and digest."""
        owed = self.ledger.receipts.owed(self.key(series_number), target, "")[:most]
        owed = [one for one in owed if self.reader.is_here(one.location)]
        for one in owed:
            self.reader.verify(one)
        self.ledger.receipts.add(job, "", [(one, receipt(one, target, at)) for one in owed])
        return [(one.arrival.sop_instance_uid, one.digest) for one in owed]

    def delivered(self, numbers: Iterable[int], series_number: int = 1) -> None:
        """Receive a Series, settle it and deliver it; nothing is open afterwards."""
        self.receive(numbers, series_number)
        self.settle(series_number)
        self.deliver(series_number)

    # what retention does

    def let_go(self, policy: Policy = AT_ONCE, now: float = 0.0, *, for_room: bool = False) -> int:
        """Look at every candidate once; returns how many Instances were let go."""
        part = LettingGo(self.ledger.holdings, self.ledger.payments, policy, self._answers)
        return sum(
            part.consider(one.key, now, for_room=for_room).let_go.instances
            for one in self.ledger.holdings.candidates(None, 1000)
        )

    def sweep(self, now: float = 0.0) -> int:
        """Remove what can leave; returns how many segments did."""
        self.leaving.go_on(now)
        return sum(
            self.leaving.leave(one, now) for one in list(self.leaving.burdens()) if one.can_leave
        )

    def _answers(self, payments: Sequence[Paid]) -> Iterator[tuple[Paid, Proof]]:
        for paid in payments:
            self.asked.append(paid.sop_instance_uid)
            yield paid, Proof(self.holds, "", "as the test says")

    # what is there

    @staticmethod
    def uid(number: int) -> str:
        return f"2.25.{1000 + number}"

    @staticmethod
    def key(series_number: int = 1) -> SeriesKey:
        return SeriesKey(STUDY, f"{STUDY}.{series_number}")

    def segments(self) -> list[str]:
        return sorted(path.name for path in self.root.glob("*.seg"))

    def rows(self) -> dict[tuple[str, str], tuple[Instance, float | None]]:
        """Give all Instances by UID and digest, and when each was let go."""
        with self.ledger.database.read() as db:
            rows = db.execute(select(instances)).all()
        return {
            (row.sop_instance_uid, row.digest): (instance_of(row), row.released_at) for row in rows
        }

    def here(self) -> set[int]:
        """Name the objects that the ledger has in the spool, each one read and compared."""
        found = set()
        for (uid, _), (instance, released_at) in self.rows().items():
            if released_at is None:
                self.reader.verify(instance)
                found.add(int(uid.rpartition(".")[2]) - 1000)
        return found


def receipt(one: Instance, target: str, at: float) -> Receipt:
    """Make the receipt of a delivery that was read back."""
    return Receipt(
        destination=target,
        source_digest=one.digest,
        sop_instance_uid=one.arrival.sop_instance_uid,
        location="somewhere",
        digest_sent=one.digest,
        digest_read_back=one.digest,
        proof="read-back",
        delivered_at=at,
    )


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    """Give the maker of worlds, for tests that need many."""
    return World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def sealed_world(tmp_path: Path) -> Iterator[World]:
    """A world whose spool is encrypted."""
    made = World(tmp_path, keys=SpoolKeys(SpoolKey(b"k" * 32)))
    yield made
    made.close()
