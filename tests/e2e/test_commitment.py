"""Storage commitment on a running node: asked of it, and asked by it, with real peers around it."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from examples.peers import committing, orthanc
from examples.peers.committing import CommittingPacs, Reports
from examples.peers.node import Node, running_node
from examples.peers.process import free_port, wait_until
from routing.job import Job, Kind, State
from storage.ledger.ledger import Ledger

CT = "1.2.840.10008.5.1.4.1.1.2"


def named(images: list[Dataset]) -> list[tuple[str, str]]:
    """List the references of a request for these objects."""
    return [(CT, str(one.SOPInstanceUID)) for one in images]


def uids(images: list[Dataset]) -> set[str]:
    """Name these objects."""
    return {str(one.SOPInstanceUID) for one in images}


@contextlib.contextmanager
def ledger_of(node: Node) -> Iterator[Ledger]:
    """Look into a node's ledger."""
    with contextlib.closing(node.ledger()) as ledger:
        yield ledger


def held(node: Node, kind: Kind, target: str, words: str = "") -> Job:
    """Wait until such a job is held, and give it."""
    found: list[Job] = []

    def there() -> bool:
        with ledger_of(node) as ledger:
            found[:] = [
                job
                for job in ledger.jobs.list([State.HELD])
                if (job.spec.kind, job.spec.target) == (kind, target) and words in job.words
            ]
        return bool(found)

    wait_until(there, 60, f"a held {kind} for {target}")
    return found[0]


def retry(node: Node, job: Job) -> None:
    """Have a held job tried again."""
    with ledger_of(node) as ledger:
        assert ledger.jobs.retry(job.id, ledger.database.now())


ARCHIVE = """
[peers.SCANNER]
may = ["store", "commit"]
host = "127.0.0.1"
port = {port}
[peers.MUTE]
may = ["commit"]
[commitment]
grace_s = 3
[destinations.archive]
kind = "folder"
path = "archive"
[destinations.broken]
kind = "folder"
path = "broken"
[[rules]]
name = "all"
send = ["archive"]
[[rules]]
name = "more"
when = {{ SeriesNumber = 2 }}
send = ["broken"]
"""


@pytest.mark.p1
@pytest.mark.p3
def test_a_modality_hears_what_is_safe(tmp_path: Path, make_ct: Callable, store: Callable) -> None:
    """What is delivered, and only that, is committed, on either kind of association; held is told
    as failed, a report that nobody can be told is held, and kill -9 loses no request."""
    images, stuck = [make_ct(number) for number in (1, 2)], [make_ct(1, series=2)]
    reports = Reports()
    (tmp_path / "broken").write_text("no folder")
    with committing.listening("SCANNER", reports) as port:
        tables = ARCHIVE.format(port=port)
        with running_node(tmp_path, tables) as node:
            store(node, [*images, *stuck])
            with committing.asking(node.port, "SCANNER", "PENUMBRA", reports) as association:
                asked = [*named(images), (CT, "1.2.3.99")]
                assert committing.ask(association, "1.2.3.1", asked) == 0
                told = reports.next(60)
                assert (told.event_type, told.transaction_uid) == (2, "1.2.3.1")
                assert (told.committed, told.failed) == (uids(images), {"1.2.3.99": 0x0112})
                assert len(list((tmp_path / "archive").rglob("*.dcm"))) >= len(images)
                assert committing.ask(association, "1.2.3.2", named(stuck)) == 0
                assert reports.next(60).failed == {stuck[0].SOPInstanceUID: 0x0110}
            with committing.asking(node.port, "SCANNER", "PENUMBRA") as association:
                assert committing.ask(association, "1.2.3.3", named(images)) == 0
            told = reports.next(60)
            assert (told.event_type, told.transaction_uid) == (1, "1.2.3.3")
            assert (told.committed, told.failed) == (uids(images), {})
            with committing.asking(node.port, "MUTE", "PENUMBRA") as association:
                assert committing.ask(association, "1.2.3.4", named(images)) == 0
            held(node, Kind.REPORT, "MUTE", "[peers.MUTE] has no host and port")
            late = [make_ct(1, series=3)]
            with committing.asking(node.port, "SCANNER", "PENUMBRA") as association:
                assert committing.ask(association, "1.2.3.5", named(late)) == 0
                os.kill(node.process.pid, signal.SIGKILL)
            node.process.wait(20)
        patient = tables.replace("grace_s = 3", "grace_s = 300")
        with running_node(tmp_path, patient, log_name="second.log") as node:
            store(node, late)
            told = reports.next(60)
            assert (told.transaction_uid, told.committed) == ("1.2.3.5", uids(late))
            (tmp_path / "broken").unlink()
            retry(node, held(node, Kind.FORWARD, "broken"))
            with committing.asking(node.port, "SCANNER", "PENUMBRA", reports) as association:
                assert committing.ask(association, "1.2.3.6", named(stuck)) == 0
                assert reports.next(60).committed == uids(stuck)
    assert reports.is_empty


PEER = """
[peers.{title}]
host = "127.0.0.1"
port = {port}
[destinations.{name}]
kind = "dicom"
peer = "{title}"
commit = true
commit_timeout_s = {timeout}
"""


def is_committed(*destinations: str) -> Callable[[list], bool]:
    """Whether the events tell that these destinations committed themselves to the Series."""

    def look(seen: list) -> bool:
        told = {one.data["destination"] for one in seen if one.type == "penumbra.series.committed"}
        return told >= set(destinations)

    return look


def test_a_pacs_commits_itself(tmp_path: Path, make_ct: Callable, store: Callable) -> None:
    """A report counts on the same association and on a new one, late, and from whom was asked; a
    failure is held with its reason, and silence is asked again under another Transaction UID."""
    images, ports = [make_ct(number) for number in (1, 2)], (free_port(), free_port())
    node_ae = ("PENUMBRA", ports[0])
    same, new, never = (
        CommittingPacs(way.upper(), node_ae, way) for way in ("same", "new", "never")
    )
    picky = CommittingPacs("PICKY", node_ae, refused=[images[1].SOPInstanceUID])
    with contextlib.ExitStack() as stack:
        tables = '[peers.SCANNER]\nmay = ["store"]\n[peers.OTHER]\nmay = ["commit"]\n'
        for pacs in (same, new, never, picky):
            port = stack.enter_context(committing.serving(pacs))
            timeout = 1 if pacs is never else 600
            tables += PEER.format(
                title=pacs.title, name=pacs.title.lower(), port=port, timeout=timeout
            )
        tables += '[[rules]]\nname = "all"\nsend = ["same", "new", "never", "picky"]\n'
        node = stack.enter_context(running_node(tmp_path, tables, ports=ports))
        store(node, images)
        node.wait_for(is_committed("same", "new"), 90, "two commitments")
        assert (same.statuses, new.statuses) == ([0], [0])
        assert len(same.asked) == len(new.asked) == 1
        with ledger_of(node) as ledger:
            paid = ledger.payments.of_study(images[0].StudyInstanceUID)
        proofs = [one.delivered.receipt.proof for one in paid]
        assert proofs.count("status 0x0000, committed") >= 2 * len(images)

        job = held(node, Kind.COMMIT, "picky", "no such object instance (0x0112)")
        picky.refused = ()
        retry(node, job)

        wait_until(lambda: len(set(never.asked)) >= 2, 90, "another request")
        answer = committing.action(never.asked[0], named(images))
        for title, status in (("OTHER", 0x0115), ("NEVER", 0x0000)):
            never.calling_ae = title
            never.send(answer, 1)
            assert never.statuses[-1] == status
        node.wait_for(is_committed("picky", "never"), 90, "the other commitments")
        assert len(set(picky.asked)) == 2


@pytest.mark.skipif(not orthanc.binary(), reason="needs Orthanc (Debian: apt-get install orthanc)")
def test_orthanc_asks_and_is_asked(tmp_path: Path, make_ct: Callable, store: Callable) -> None:
    """The node asks Orthanc to commit itself, and Orthanc asks the node, by new associations."""
    images, ports = [make_ct(number) for number in (1, 2)], (free_port(), free_port())
    (tmp_path / "pacs").mkdir()
    with orthanc.running(tmp_path / "pacs") as pacs:
        pacs.introduce("PENUMBRA", ports[0])
        tables = PEER.format(title=pacs.aet, name="pacs", port=pacs.port, timeout=60)
        tables = tables.replace("host = ", 'may = ["commit"]\nhost = ')
        tables += '[peers.SCANNER]\nmay = ["store"]\n[commitment]\ngrace_s = 1\n'
        tables += '[[rules]]\nname = "all"\nsend = ["pacs"]\n'
        with running_node(tmp_path, tables, ports=ports) as node:
            store(node, images)
            node.wait_for(is_committed("pacs"), 60, "a commitment")
            path = pacs.request_commitment([*named(images), (CT, "1.2.3.98")])
            wait_until(lambda: pacs.ask(path)["Status"] != "Pending", 60, "Orthanc's report")
            told = pacs.ask(path)
    assert {one["SOPInstanceUID"] for one in told["Success"]} == uids(images)
    assert [one["SOPInstanceUID"] for one in told["Failures"]] == ["1.2.3.98"]
    assert "not available" in told["Failures"][0]["Description"]
