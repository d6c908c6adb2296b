"""What is read ahead goes from thread to thread in batches."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from node.originals import BATCH, BATCH_BYTES, batches


@dataclass(frozen=True)
class _Sized:
    length: int

    @property
    def instance(self):
        return self

    @property
    def location(self):
        return self


@given(st.lists(st.integers(0, 2 * BATCH_BYTES), max_size=80))
def test_batches_are_small_and_lose_nothing(lengths):
    """Each object is in one batch, in order; a batch is within its bounds, or one object."""
    made = list(batches(map(_Sized, lengths)))
    assert [one.length for batch in made for one in batch] == lengths
    for batch in made:
        assert len(batch) <= BATCH
        assert len(batch) == 1 or sum(one.length for one in batch) <= BATCH_BYTES
    assert not made or len(made[0]) == 1  # the first byte waits for no second object
