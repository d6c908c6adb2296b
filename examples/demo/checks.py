"""What the demo proves, one row each, looked at from outside the node wherever that is possible."""

import contextlib
import hashlib
import io
import json
import re
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlparse

import pydicom

from ai.phantom import Truth
from dicom.entity import SeriesKey
from dicom.result_kinds import kind_of
from dicom.uid import is_valid
from examples.demo.material import Sent
from examples.demo.subscriber import Heard
from examples.peers.node import Node
from examples.peers.pacs import Pacs
from examples.peers.process import wait_until
from examples.peers.seaweed import Seaweed
from examples.pipelines import answers
from routing.job import State
from storage.ledger.ledger import Ledger

LAA_POINTS = 0.1
VOLUME_PERCENT = 0.5
SR_WITHIN_S = 15


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the demo's table."""

    what: str
    found: str
    expected: str
    ok: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """Everything the checks look at."""

    node: Node
    ledger: Ledger
    bucket: Seaweed
    sent: Sequence[Sent]
    truth: Truth
    acknowledged: int
    token: str
    """For DICOMweb."""

    @property
    def identity(self) -> frozenset[str]:
        """Every name, id and UID that must have stayed here."""
        return frozenset().union(self.truth.identity, *(one.identity for one in self.sent))

    @property
    def objects(self) -> int:
        """How many objects were offered to the node."""
        return len(self.sent) + len(self.truth.files)


def received(run: Run) -> Iterator[Row]:
    """Acknowledged, filed and indexed are the same number as sent."""
    yield Row("acknowledged by the node", str(run.acknowledged), str(run.objects),
              run.acknowledged == run.objects)  # fmt: skip
    answer = run.node.run(
        "sql", "SELECT count(*) FROM instance WHERE origin = 'dimse'", "--format", "csv"
    )
    indexed = answer.stdout.split()[-1] if answer.returncode == 0 else answer.stderr.strip()
    yield Row("in the index (penumbra sql)", indexed, str(run.objects), indexed == str(run.objects))


def delivered(run: Run) -> Iterator[Row]:
    """Every object is in the bucket as its receipt says, and nobody can be recognised in it."""
    receipts = run.ledger.receipts.list("lake")
    clean = sum(1 for receipt in receipts if receipt["profile"])
    yield Row("de-identified", str(clean), str(run.objects), clean == run.objects)
    store = run.bucket.store()
    same, found = 0, set[str]()
    mine = {one.sop_instance_uid: one.identity for one in run.sent}
    for receipt in receipts:
        body = bytes(store.get(_key(str(receipt["location"]), run.bucket.bucket)).bytes())
        same += hashlib.sha256(body).hexdigest() == receipt["digest_sent"]
        own = mine.get(str(receipt["source_uid"]), frozenset(run.truth.identity))
        found |= {text for text in own if text.encode() in body}
    yield Row("in the bucket, digest read back", str(same), str(run.objects), same == run.objects)
    (run.node.data_dir / "leaks.txt").write_text("\n".join(sorted(found)))
    names = [one["path"] for page in store.list() for one in page]
    stored = sum(name.endswith(".dcm") for name in names)  # beside the node's own small ones
    yield Row("objects in the bucket in all", str(stored), str(run.objects), stored == run.objects)
    yield Row(
        "identity strings in the bucket", str(len(found)), "0", not found,
        f"{len(run.identity)} names, ids and UIDs searched for",
    )  # fmt: skip


def proven(run: Run) -> Iterator[Row]:
    """Asked afresh, the bucket holds the phantom's study, and nobody misses a thing.

    A PACS without C-FIND cannot be asked, which proves nothing either way.
    """
    answer = run.node.run("prove", run.truth.study_instance_uid, "--json")
    facts = [json.loads(line) for line in answer.stdout.splitlines()]
    held = sum(one["verdict"] == "holds" and one["destination"] == "lake" for one in facts)
    asked = {one["verdict"] for one in facts} <= {"holds", "unknown"}
    yield Row("phantom in the bucket (penumbra prove)", str(held), str(len(run.truth.files)),
              asked and held == len(run.truth.files), "read again, byte for byte")  # fmt: skip


def _key(location: str, bucket: str) -> str:
    path = urlparse(location).path.lstrip("/")
    return path.removeprefix(f"{bucket}/")


def reported(run: Run, pacs: Pacs) -> Iterator[Row]:
    """The PACS holds a Structured Report whose numbers are the phantom's truth."""
    delivered = run.ledger.receipts.list("pacs")
    deliveries = [
        each
        for each in delivered
        if kind_of(str(each["sop_class_uid"])) == "sr"
        and each["study_instance_uid"] == run.truth.study_instance_uid
    ]
    held = [uid for uid in pacs.received() if uid in {r["sop_instance_uid"] for r in deliveries}]
    yield Row(
        f"chest-ct: SRs accepted by the PACS ({pacs.name})", str(len(held)), "1", len(held) == 1
    )
    if len(held) != 1:
        return
    report = pydicom.dcmread(io.BytesIO(pacs.fetch(held[0])))
    numbers = answers.read([report]).numbers
    laa, volume = numbers.get("LAA950", -1.0), numbers.get("118565006", -1.0)
    truth = run.truth
    yield Row("LAA-950 in the SR, % of lung", f"{laa:.2f}", f"{truth.laa950_percent:.2f}",
              abs(laa - truth.laa950_percent) <= LAA_POINTS,
              f"within {LAA_POINTS} points")  # fmt: skip
    off = 100 * abs(volume - truth.lung_volume_ml) / truth.lung_volume_ml
    yield Row("lung volume in the SR, mL", f"{volume:.0f}", f"{truth.lung_volume_ml:.0f}",
              off <= VOLUME_PERCENT, f"within {VOLUME_PERCENT} %")  # fmt: skip
    slices = run.ledger.receipts.of_series(
        SeriesKey(truth.study_instance_uid, truth.series_instance_uid)
    )
    last = max(one.arrival.received_at for one in slices)
    done = max(float(str(receipt["delivered_at"])) for receipt in deliveries)
    yield Row("last slice to SR at the PACS, s", f"{done - last:.2f}", f"< {SR_WITHIN_S}",
              done - last < SR_WITHIN_S)  # fmt: skip


def discreet(run: Run) -> Iterator[Row]:
    """No name and no number of a patient is in the log, the metrics, an event or an object's name.

    UIDs are: an administrator must be able to say which object is meant.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{run.node.http_port}/metrics") as answer:
        metrics = answer.read().decode()
    events = [(event.subject, dict(event.data)) for event in run.ledger.outbox.after(0, 10_000)]
    names = [page["path"] for pages in run.bucket.store().list() for page in pages]
    said = "\n".join([run.node.log.read_text(), metrics, json.dumps(events), *names])
    needles = {text for text in run.identity if not is_valid(text)}
    # As words: a short number also stands inside UIDs and times.
    found = {text for text in needles if re.search(rf"(?<![\w.]){re.escape(text)}(?![\w.])", said)}
    yield Row("names and numbers in logs, metrics, events", str(len(found)), "0", not found)


def told(run: Run, heard: Heard) -> Iterator[Row]:
    """A subscriber of the broker heard of every event."""
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: len(heard.ids) >= run.ledger.outbox.last_id(), 5, "the events")
    events = run.ledger.outbox.last_id()
    yield Row("events heard over MQTT", str(len(heard.ids)), str(events), len(heard.ids) == events)


def settled(run: Run) -> Iterator[Row]:
    """Nothing is left over: no open Series, no job waiting, nothing held."""
    counts = run.ledger.jobs.counts()
    left = counts[State.WAITING] + counts[State.RUNNING]
    held = run.ledger.jobs.list([State.HELD])
    yield Row("jobs done", str(counts[State.DONE]), "all", left == 0 and counts[State.DONE] > 0)
    words = "; ".join(sorted({f"{job.spec.target}: {job.words}" for job in held}))
    yield Row("jobs held", str(len(held)), "0", not held, words)
