"""`penumbra send` and `penumbra echo`: what a person at a terminal sees, and the exit status."""

import shutil
import threading
from pathlib import Path

import pydicom.data
import pytest
from click.testing import CliRunner

from dicom.errors import Unreachable
from dicom.store_scu import RemoteAe
from dicom.wire import AssociationLost
from examples.peers import folder_pacs
from examples.peers.node import penumbra, running_node
from examples.peers.process import free_port
from node.cli import penumbra as cli
from node.sending import Answer, File, describe, find, send_all

FILES = Path(pydicom.data.__file__).parent / "test_files"
REAL = ("CT_small.dcm", "MR_small.dcm", "image_dfl.dcm", "JPEG2000.dcm", "rtplan.dcm")


@pytest.fixture
def pacs(tmp_path):
    """Run pynetdicom's SCP in a process, behaving as told."""
    return lambda **behaviour: folder_pacs.running_pynetdicom(tmp_path / "pacs", **behaviour)


@pytest.fixture
def study(tmp_path):
    """A folder with five real objects, and four things that are none."""
    folder = tmp_path / "study"
    (folder / "deeper").mkdir(parents=True)
    for name in REAL:
        shutil.copyfile(FILES / name, folder / "deeper" / name)
    shutil.copyfile(FILES / "dicomdirtests" / "DICOMDIR", folder / "DICOMDIR")
    (folder / "notes.txt").write_text("no DICOM")
    (folder / "empty.dcm").touch()
    (folder / "short.dcm").write_bytes((FILES / "CT_small.dcm").read_bytes()[:140])
    return folder


def send(*words):
    return CliRunner().invoke(cli, ["send", *map(str, words)])


def at(pacs):
    return (f"127.0.0.1:{pacs.port}", "--called", pacs.aet)


@pytest.mark.parametrize("parallel", [1, 3])
def test_every_object_is_sent_once(pacs, study, parallel):
    """Folders are walked; what is no object is counted and skipped; success is exit status 0."""
    with pacs() as alive:
        done = send(*at(alive), study, "--parallel", parallel)
        received = alive.received()
    assert done.exit_code == 0, done.output
    assert "5 of 5 accepted" in done.output
    assert "5 0x0000 success" in done.output
    assert "4 skipped, no DICOM objects" in done.output
    assert sorted(received) == sorted(describe(FILES / name).sop_instance_uid for name in REAL)


def test_failures_are_counted_and_named(pacs, study):
    """A status that is no success is counted, explained per file, and exit status 1."""
    with pacs(status=0xA700) as full:
        done = send(*at(full), study)
    assert done.exit_code == 1
    assert "0 of 5 accepted" in done.output
    assert "5 0xA700 not stored" in done.output
    assert done.output.count("out of resources") == 5
    assert "CT_small.dcm" in done.output


def test_many_failures_do_not_flood(pacs, tmp_path):
    """Of many failures the first twenty are named, and the rest counted."""
    for number in range(23):
        shutil.copyfile(FILES / "CT_small.dcm", tmp_path / f"{number:02}.dcm")
    with pacs(status=0xC000) as strict:
        done = send(*at(strict), *sorted(tmp_path.glob("*.dcm")))
    assert done.exit_code == 1
    assert done.output.count("cannot understand") == 20
    assert "failed: 3 more" in done.output


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_dead_peer_is_not_called_for_every_file(study, parallel):
    """Nobody there: told once, the rest is counted as not sent."""
    done = send(f"127.0.0.1:{free_port()}", study, "--parallel", parallel)
    assert done.exit_code == 1
    assert "not sent: nobody answers at ANY-SCP@127.0.0.1" in done.output


def test_a_rejection_is_explained(pacs, study):
    """A peer that does not know our title says so; nothing was sent."""
    with pacs(rejects=True) as strict:
        done = send(*at(strict), study)
        echoed = penumbra("echo", *at(strict))
    assert done.exit_code == echoed.returncode == 1
    assert "5 not sent" in done.output
    assert "calling AE title not recognised" in done.output
    assert "calling AE title not recognised" in echoed.stderr


def test_a_peer_that_aborts_is_given_up(pacs, tmp_path):
    """A peer that aborts over every file is taken for gone after a few."""
    for number in range(12):
        shutil.copyfile(FILES / "CT_small.dcm", tmp_path / f"{number:02}.dcm")
    with pacs(abort_after=3) as moody:
        done = send(*at(moody), *sorted(tmp_path.glob("*.dcm")))
    assert done.exit_code == 1
    assert "3 of 12 accepted" in done.output
    assert "5 no answer" in done.output
    assert "4 not sent" in done.output


def test_nothing_to_send_is_a_failure(pacs, study):
    """Where there is no DICOM object at all, success would be a lie."""
    with pacs() as alive:
        done = send(*at(alive), study / "notes.txt")
    assert done.exit_code == 1
    assert "0 of 0 accepted" in done.output


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["nowhere", "."], "nowhere is not HOST:PORT"),
        (["host:70000", "."], "is not HOST:PORT"),
        (["host:104", "/no/such/path"], "does not exist"),
        (["host:104", ".", "--aet", "A-TITLE-THAT-IS-TOO-LONG"], "is no AE title"),
        (["host:104"], "Missing argument"),
    ],
)
def test_slips_of_the_pen_are_named(words, what):
    """A wrong word on the command line is exit status 2, and says which."""
    done = send(*words)
    assert done.exit_code == 2
    assert what in done.output


def test_our_own_node_takes_it(tmp_path, study):
    """What `penumbra send` sends, a node acknowledges, and `penumbra echo` hears it live."""
    peers = '[peers.SCANNER]\nmay = ["store"]\n'
    with running_node(tmp_path / "node", peers) as node:
        words = (node.address, "--called", "PENUMBRA", "--aet", "SCANNER")
        echoed = penumbra("echo", *words)
        done = send(*words, study)
    assert echoed.returncode == 0
    assert echoed.stdout.startswith(f"PENUMBRA@{node.address} answered in ")
    assert done.exit_code == 0, done.output
    assert "5 of 5 accepted" in done.output


def test_a_file_is_announced_as_its_dataset_says(tmp_path):
    """Where file meta and dataset differ, the dataset's UIDs count, as a receiver compares them."""
    content = (FILES / "CT_small.dcm").read_bytes()
    uid = describe(FILES / "CT_small.dcm").sop_instance_uid.encode()
    assert content.count(uid) == 2
    other = uid[:-1] + (b"9" if uid[-1:] != b"9" else b"8")
    changed = tmp_path / "changed.dcm"
    changed.write_bytes(content.replace(uid, other, 1))
    assert describe(changed).sop_instance_uid == uid.decode()


def test_files_are_found_in_order(study):
    """Folders are walked in the order of names, single files are taken as given."""
    found = list(find([study, study / "notes.txt"]))
    assert [one.path.name for one in found if isinstance(one, File)] == sorted(REAL)
    assert [one.name for one in found if isinstance(one, Path)] == [
        "DICOMDIR", "empty.dcm", "notes.txt", "short.dcm", "notes.txt",
    ]  # fmt: skip


def test_a_file_that_goes_meanwhile_is_told(pacs, study):
    """A file that is removed between finding and sending fails alone."""
    files = [one for one in find([study]) if isinstance(one, File)]
    files[1].path.unlink()
    told: list[Answer] = []
    with pacs() as alive:
        peer = RemoteAe(alive.host, alive.port, alive.aet, "PENUMBRA", 5)
        send_all(files, peer, parallel=1, tell=told.append, stop=threading.Event())
    assert [one.is_accepted for one in told] == [True, False, True, True, True]
    assert "No such file" in told[1].words


def test_stopping_ends_after_the_file_at_hand(pacs, study):
    """Once asked to stop, no further file is begun."""
    files = [one for one in find([study]) if isinstance(one, File)]
    stop, told = threading.Event(), []

    def tell(answer: Answer) -> None:
        told.append(answer)
        stop.set()

    with pacs() as alive:
        peer = RemoteAe(alive.host, alive.port, alive.aet, "PENUMBRA", 5)
        send_all(files, peer, parallel=1, tell=tell, stop=stop)
    assert len(told) == 1


def test_a_lost_association_is_unreachable():
    """Whoever only asks whether to try again need not know how a peer was lost."""
    assert issubclass(AssociationLost, Unreachable)
    assert AssociationLost.retry
