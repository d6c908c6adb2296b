"""Memory stays flat: one frame, a little of what is new, and slices of the input."""

import tracemalloc

import numpy as np
import pydicom
import pytest

from deid.pixels.clean import clean
from deid.pixels.spill import IN_MEMORY_BYTES, Spill, joined

FRAMES, SIDE = 160, 512


@pytest.fixture(scope="module")
def large(make):
    """Forty megabytes of ultrasound, whose banner changes in every frame."""
    frames = np.full((FRAMES, SIDE, SIDE), 90, np.uint8)
    frames[:, 0, 0] = 0
    frames[:, 5, 5] = np.arange(FRAMES)
    region = pydicom.Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 4, 480
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = SIDE - 5, SIDE - 1
    recipe = make.Recipe(sop_class=make.US)
    return make.build(frames, recipe, Modality="US", SequenceOfUltrasoundRegions=[region])


def test_a_large_object_takes_little_memory(make, large, shipped):
    """Cleaning every row of forty megabytes takes less than a third of that, and no row is lost."""
    elements, opened = make.taken_apart(large)
    tracemalloc.start()
    try:
        cleaned = clean(elements, opened, shipped, reader=lambda *_: ())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < IN_MEMORY_BYTES + 12 * SIDE * SIDE
    assert sum(map(len, cleaned.chunks)) == FRAMES * SIDE * SIDE
    after = np.frombuffer(b"".join(cleaned.chunks), np.uint8).reshape(FRAMES, SIDE, SIDE)
    assert (after[:, 480:, 4:-4] == 90).all()
    assert not after[:, :480].any()


def test_what_is_collected_comes_in_order():
    """Slices of the input, bytes in memory and bytes on disk come back as they were put in."""
    spill = Spill(in_memory_bytes=5)
    spill.add(b"abc")
    spill.keep(memoryview(b"--"))
    spill.add(b"a long one")
    spill.keep(memoryview(b""))
    spill.add(b"de")
    spill.add(b"and another")
    chunks = spill.chunks()
    assert b"".join(chunks) == b"abc--a long onedeand another"
    assert all(len(chunk) for chunk in chunks)
    assert sum(isinstance(chunk, bytes) for chunk in chunks) == 2


@pytest.mark.parametrize("room_bytes", [3, 100])
def test_chunks_become_one_piece(room_bytes):
    """In memory or on disk, one piece holds what the chunks held; a single one is itself."""
    assert joined((b"ab", memoryview(b"cd")), room_bytes) == b"abcd"
    alone = memoryview(b"abcdef")
    assert joined((alone,), room_bytes).obj is alone.obj
