"""A full disk: refused in time, nothing half stored, and on again once there is room."""

import contextlib
import subprocess

import pytest

from dicom.errors import SpoolFull
from storage.spool.deposit import deposit
from storage.spool.spool import Spool

MB = 1 << 20

LIMITED = """
import resource, sys
from pathlib import Path
from dicom.errors import SpoolFull
from storage.spool.spool import Spool
sys.path.insert(0, "tests/storage/spool")
from conftest import Objects
objects = Objects()
resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, resource.RLIM_INFINITY))
with Spool.open(Path(sys.argv[1]), segment_bytes=64 << 20, reserve_bytes=0) as spool:
    number = 0
    try:
        while True:
            with spool.begin(objects.arrival(f"2.25.{number}")) as recording:
                recording.write(objects.body(1_500_000, number))
                recording.commit()
            number += 1
    except SpoolFull as fault:
        print(number, fault.code, fault)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    with spool.begin(objects.arrival(f"2.25.{number}")) as recording:
        recording.write(objects.body(1_500_000, number))
        recording.commit()
"""


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 8 MB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path], check=False, text=True,
        capture_output=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_the_kernel_refuses(child, root, open_spool, objects):
    """When the kernel takes no more, the sender hears SpoolFull; what was stored stays stored."""
    number, code, words = child(LIMITED, root).communicate(timeout=60)[0].split(maxsplit=2)
    assert (number, code) == ("2", "spool-full")
    assert "EFBIG" in words
    with open_spool() as spool:
        assert spool.recovered.bytes_cut == 0
        found = [objects.read(root, one) for one in objects.of(spool)]
    assert found == [objects.body(1_500_000, number) for number in range(3)]


@pytest.mark.p1
@pytest.mark.parametrize("size", [300_000, 1_500_000])
def test_a_full_disk(small_disk, objects, size):
    """On a full disk objects are refused whole, and taken again as soon as there is room."""
    root = small_disk / "spool"
    filler = small_disk / "filler"
    filler.write_bytes(bytes(3 * MB))
    with Spool.open(root, segment_bytes=64 * MB, reserve_bytes=0) as spool:
        stored = []

        def store_next():
            number = len(stored)
            stored.append(objects.store(spool, objects.body(size, number), f"2.25.{number}"))

        with pytest.raises(SpoolFull, match="ENOSPC"):
            _forever(store_next)
        assert len(stored) >= 3
        with contextlib.suppress(SpoolFull):  # a little room may be left in a new segment
            store_next()
        filler.unlink()
        store_next()
        assert sorted(one.location.segment for one in stored) == [
            one.location.segment for one in stored
        ]
        assert objects.of(spool) == stored
        for number, instance in enumerate(stored):
            assert objects.read(root, instance) == objects.body(size, number)


def test_an_object_larger_than_the_disk(small_disk, objects):
    """An object for which there is no room gives all of its room back."""
    with Spool.open(small_disk / "spool", segment_bytes=64 * MB, reserve_bytes=0) as spool:
        kept = objects.store(spool, b"kept")
        with pytest.raises(SpoolFull):
            objects.store(spool, objects.body(9 * MB), "2.25.2")
        assert spool.free_bytes() > 7 * MB
        assert objects.of(spool) == [kept]
        assert objects.store(spool, objects.body(5 * MB), "2.25.3").location.length == 5 * MB


def test_the_reserve_is_for_results(small_disk, objects):
    """Objects are refused while only the reserve is left; a worker's result is still taken."""
    root = small_disk / "spool"
    with Spool.open(root, segment_bytes=64 * MB, reserve_bytes=3 * MB) as spool:
        (small_disk / "filler").write_bytes(bytes(6 * MB))
        with pytest.raises(SpoolFull, match="reserve"):
            objects.store(spool, b"x")
        content = objects.body(100_000)
        result = deposit(root, objects.arrival("2.25.2"), (content,), writer="job1")
        assert spool.wait(20)
        assert objects.of(spool) == [objects.identified(result, content)]


def test_the_reserve_holds_against_one_large_object(small_disk, objects):
    """The reserve is looked at again while a large object grows."""
    root = small_disk / "spool"
    with Spool.open(root, segment_bytes=64 * MB, reserve_bytes=3 * MB) as spool:
        with pytest.raises(SpoolFull):
            objects.store(spool, objects.body(7 * MB))
        assert spool.free_bytes() > 7 * MB


def _forever(step):
    while True:
        step()
