"""The door before a real disk that fills up: each mark in turn, results to the last, and back."""

import itertools
import subprocess
import time

import pytest

from config.model import Settings
from dicom.context import storage_contexts
from dicom.entity import Arrival
from examples.peers.process import wait_until
from node.listener import Listener
from node.services.echo import EchoService
from node.services.store import StoreService
from node.watermarks import DiskState, Marks, Watermarks
from storage.spool.deposit import deposit
from storage.spool.segment import GROWTH_BYTES
from storage.spool.spool import Spool

MB = 1 << 20
SETTINGS = Settings.model_validate(
    {
        "node": {"host": "127.0.0.1", "port": 0, "slow_below_mb": 48, "refuse_below_mb": 40,
                 "reserve_mb": 8},
        "peers": {"SCANNER": {"may": ["store"]}},
    }
)  # fmt: skip


@pytest.fixture
def disk(tmp_path):
    """A real file system of 96 MB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", tmp_path], check=False, text=True,
        capture_output=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.fixture
def node(disk):
    """A spool on it with a watch that looks by itself, and a door before both."""
    spool = Spool.open(
        disk / "spool", segment_bytes=64 * MB, reserve_bytes=SETTINGS.node.reserve_mb * MB
    )
    watermarks = Watermarks(Marks.of(SETTINGS.node), spool.free_bytes)
    store = StoreService(spool, SETTINGS, storage_contexts(), time.time, watermarks)
    listener = Listener(SETTINGS, store, [EchoService()], disk=lambda: watermarks.state)
    watermarks.start()
    listener.start()
    yield listener, watermarks, spool
    listener.stop(0)
    watermarks.stop()
    spool.close()


@pytest.mark.p1
def test_a_disk_that_fills_and_empties(disk, node, call, wire):
    """Slower, then "come back later", then 0xA700 while results still fit; then all is well."""
    listener, watermarks, spool = node
    uids = (f"2.25.{number}" for number in itertools.count(1))
    filler = disk / "filler"

    def store(peer):
        uid = next(uids)
        return peer.store(wire.dataset_of(uid, size_bytes=100_000), sop_instance=uid)

    def leave(megabytes, state):
        """Let so much room be free, and wait until the node has noticed."""
        filler.unlink(missing_ok=True)
        filler.write_bytes(bytes(spool.free_bytes() - megabytes * MB))
        wait_until(lambda: watermarks.state is state, 10, f"the state {state}")

    peer = call(listener)
    peer.associate()
    assert store(peer) == 0  # takes GROWTH_BYTES ahead: what follows needs no more room
    assert spool.free_bytes() <= 96 * MB - GROWTH_BYTES
    assert watermarks.state is DiskState.OK
    leave(44, DiskState.SLOW)
    assert 0.1 < watermarks.pause_s < 0.25
    assert store(peer) == 0
    leave(30, DiskState.REFUSING)
    other = call(listener)
    other.send(wire.associate_rq())
    assert other.read_pdu() == (3, bytes([0, 2, 3, 1]))
    assert store(peer) == 0
    leave(5, DiskState.FULL)
    assert store(peer) == 0xA700
    arrival = Arrival(wire.CT, "2.25.0", wire.IMPLICIT, "", "", "job-1", "", time.time())
    deposit(disk / "spool", arrival, (bytes(MB),), writer="job-1")
    filler.unlink()
    wait_until(lambda: watermarks.state is DiskState.OK, 10, "room")
    assert store(peer) == 0
    assert store(call_again(call, listener)) == 0
    found = {record.arrival.sop_instance_uid for record in spool.records({})}
    assert found == {"2.25.0", "2.25.1", "2.25.2", "2.25.3", "2.25.5", "2.25.6"}


def call_again(call, listener):
    """Associate anew."""
    peer = call(listener)
    peer.associate()
    return peer
