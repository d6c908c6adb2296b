"""What is kept and lent: shared memory, places for requests, answers."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ai import cache, shared_memory
from ai.cache import Cache, pack, unpack
from ai.contract import Served, Tensor
from ai.lanes import Lane, Lanes
from ai.shared_memory import Region, Ring, is_dead, layout
from ai.tensors import decode, join
from dicom.errors import BadAnswer

values = st.dictionaries(
    st.text(min_size=1, max_size=5),
    arrays.arrays(
        st.sampled_from([np.dtype(name) for name in ("<i2", "<f4", "|u1", "<i8", "|b1")]),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    max_size=3,
)


@pytest.fixture
def shm(tmp_path, monkeypatch):
    """A folder of the test's own on the same kind of file system."""
    folder = Path("/dev/shm") / f"penumbra_test_{os.getpid()}"
    folder.mkdir()
    monkeypatch.setattr(shared_memory, "FOLDER", folder)
    yield folder
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()


def test_a_region_is_there_while_its_maker_lives(shm):
    """It holds what was written, is for its owner alone, and goes with close."""
    region = Region(1 << 20)
    region.write(64, np.arange(12, dtype=np.int16).reshape(3, 4).T)
    file = shm / region.name
    assert file.stat().st_mode & 0o777 == 0o600
    written = np.frombuffer(file.read_bytes(), np.int16, 12, 64)
    assert written.tolist() == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]
    assert not is_dead(region.name)
    assert shared_memory.sweep() == 0
    region.close()
    assert list(shm.iterdir()) == []


def test_what_a_killed_worker_left_is_removed(shm):
    """Regions of a process that was killed go at the next start; those of the living stay."""
    code = (
        "import os, signal, pathlib\n"
        "from ai import shared_memory\n"
        f"shared_memory.FOLDER = pathlib.Path({str(shm)!r})\n"
        "shared_memory.Region(4096); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    (left,) = shm.iterdir()
    mine = Region(4096)
    assert is_dead(left.name)
    assert shared_memory.sweep() == 1
    assert [one.name for one in shm.iterdir()] == [mine.name]
    mine.close()


def test_no_room_is_no_region(shm, monkeypatch):
    """A full /dev/shm gives no region, and not a signal when it is written to."""
    with pytest.raises(OSError, match=r"No space|File too large"):
        Region(1 << 62)
    assert Ring().take(1 << 62) is None
    assert list(shm.iterdir()) == []


def test_regions_are_used_again(shm):
    """A ring gives the smallest that fits, and drops what is too small for its requests."""
    ring = Ring()
    first, _ = ring.take(100)
    ring.give_back(first)
    again, dropped = ring.take(1000)
    assert (again, dropped) == (first, ())
    ring.give_back(again)
    larger, dropped = ring.take(2 << 20)
    assert dropped == (first,)
    ring.lose(larger)
    first.close()
    assert list(shm.iterdir()) == []


@given(st.lists(st.integers(0, 10_000), min_size=1))
def test_tensors_do_not_overlap(sizes):
    """Each has its own aligned place in a region."""
    offsets, total = layout(sizes)
    ends = [offset + size for offset, size in zip(offsets, sizes, strict=True)]
    assert all(end <= begin for end, begin in zip(ends, [*offsets[1:], total], strict=True))
    assert all(offset % 64 == 0 for offset in offsets)


@given(values)
def test_arrays_come_back_from_the_cache_as_they_were(found):
    """Values, shapes and types survive; so do texts."""
    found["texts"] = np.array([[b"a", b""], [b"\xff", b"bc"]], dtype=np.object_)
    back = unpack(pack(found))
    assert back.keys() == found.keys()
    for name, array in found.items():
        assert back[name].shape == array.shape
        assert back[name].dtype == array.dtype
        assert back[name].tobytes() == array.tobytes() or name == "texts"
    assert back["texts"].tolist() == found["texts"].tolist()
    assert unpack(pack(found)[:-1]) is None


@pytest.mark.parametrize("in_files", [False, True])
def test_the_cache_keeps_to_its_size(tmp_path, in_files):
    """The oldest answers go; one that is larger than all the room is not kept."""
    kept = Cache(10_000, tmp_path / "cache" if in_files else None)
    small = {"y": np.zeros(4_000, np.uint8)}
    for i in range(4):
        kept.put(f"{i}", small)
        if in_files:
            os.utime(tmp_path / "cache" / f"{i}", (i, i))
    assert kept.get("0") is None
    assert kept.get("3")["y"].tobytes() == small["y"].tobytes()
    kept.put("large", {"y": np.zeros(20_000, np.uint8)})
    assert kept.get("large") is None
    assert kept.get("3") is not None


def test_files_of_the_cache_are_checked(tmp_path):
    """They are for their owner alone; one that was damaged is no answer; none is no failure."""
    kept = Cache(10_000, tmp_path / "cache")
    kept.put("k", {"y": np.arange(4)})
    file = tmp_path / "cache" / "k"
    assert file.stat().st_mode & 0o777 == 0o600
    assert Cache(10_000, tmp_path / "cache").get("k")["y"].tolist() == [0, 1, 2, 3]
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert kept.get("k") is None
    nowhere = Cache(10_000, file / "below")
    nowhere.put("k", {"y": np.arange(4)})
    assert nowhere.get("k") is None


def test_the_key_tells_models_apart():
    """Another version, parameter or input is another answer."""
    tensor = Tensor("x", "INT16", (-1,))
    served = Served("m", "1", "triton 2", (tensor,), (tensor,), {"a": "1"})
    others = [
        Served("m", "2", "triton 2", (tensor,), (tensor,), {"a": "1"}),
        Served("m", "1", "triton 2", (tensor,), (tensor,), {"a": "2"}),
        Served("n", "1", "triton 2", (tensor,), (tensor,), {"a": "1"}),
    ]
    keys = {cache.key_of(one, "d") for one in (served, *others)} | {cache.key_of(served, "e")}
    assert len(keys) == 5


@given(st.lists(st.tuples(st.sampled_from(Lane), st.booleans()), max_size=12), st.integers(1, 3))
def test_places_are_never_lost(order, count):
    """Whoever waits, or gives up, urgent ones go first and all places come back."""

    async def run():
        lanes, entered, gate = Lanes(count), [], asyncio.Event()

        async def enter(lane, i):
            await lanes.enter(lane)
            entered.append((lane, i))
            lanes.leave()

        async def hold():
            await lanes.enter(Lane.URGENT)
            await gate.wait()
            lanes.leave()

        holders = [asyncio.create_task(hold()) for _ in range(count)]
        await asyncio.sleep(0)
        tasks = [asyncio.create_task(enter(lane, i)) for i, (lane, _) in enumerate(order)]
        await asyncio.sleep(0)
        for task, (_, gives_up) in zip(tasks, order, strict=True):
            if gives_up:
                task.cancel()
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*holders, *tasks, return_exceptions=True)
        stayed = [(lane, i) for i, (lane, gives_up) in enumerate(order) if not gives_up]
        assert sorted(entered) == sorted(stayed)
        if count == 1:
            assert entered == sorted(stayed)
        assert lanes._free == count

    asyncio.run(run())


def test_a_place_given_to_one_who_gives_up_is_passed_on():
    """Cancelled in the very moment in which it was let in, a request keeps no place."""

    async def run():
        lanes = Lanes(1)
        await lanes.enter(Lane.BATCH)
        waiting = asyncio.create_task(lanes.enter(Lane.BATCH))
        await asyncio.sleep(0)
        lanes.leave()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wait_for(lanes.enter(Lane.BATCH), 1)

    asyncio.run(run())


@given(st.binary(max_size=30), st.lists(st.integers(0, 4), max_size=2))
def test_broken_texts_are_bad_answers(raw, shape):
    """Any bytes are either texts of the declared shape, or a BadAnswer; nothing else happens."""
    tensor = Tensor("t", "BYTES", (-1,) * len(shape))
    try:
        found = decode(tensor, "BYTES", shape, raw)
    except BadAnswer:
        return
    assert found.shape == tuple(shape)
    packed = b"".join(len(each).to_bytes(4, "little") + each for each in found.flat)
    assert packed == raw


def test_rows_of_other_shapes_are_not_joined():
    """One Series whose requests answer differently is a bad answer."""
    with pytest.raises(BadAnswer, match="several shapes"):
        join([{"y": np.zeros((1, 2))}, {"y": np.zeros((1, 3))}])
    joined, rows = join([{"y": np.zeros((1, 2))}, {"y": np.ones((3, 2))}])
    assert joined["y"].shape == (4, 2)
    assert rows == {"y": (1, 3)}
