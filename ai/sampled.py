"""Look at what a model is given on its way there, for watching over drift."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from ai.drift import of_values
from ai.header import Source
from ai.prepared import Grid, Prepared, Tensors

_EACH: Final = 4096
"""So many values of each request are kept, evenly spread over it."""


@dataclass(slots=True)
class Sampled:
    """A prepared Series that remembers some of the values that were taken from it."""

    prepared: Prepared
    _values: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def source(self) -> Source:
        """Say which Series it is."""
        return self.prepared.source

    @property
    def grid(self) -> Grid:
        """Give the way back to its images."""
        return self.prepared.grid

    @property
    def batches(self) -> int:
        """Say how many requests make up the whole."""
        return self.prepared.batches

    @property
    def is_sequence(self) -> bool:
        """Whether they are one sequence."""
        return self.prepared.is_sequence

    @property
    def pixel_digest(self) -> str:
        """Give the SHA-256 of all that the model is given."""
        return self.prepared.pixel_digest

    def tensors(self, batch: int) -> Tensors:
        """Make the arrays of one request, and remember some values of the largest."""
        arrays = self.prepared.tensors(batch)
        if batch not in self._values:
            largest = max(arrays.values(), key=lambda array: array.size).ravel()
            step = max(1, largest.size // _EACH)
            self._values[batch] = largest[::step].astype(np.float64)
        return arrays

    def flipped(self, axis: str) -> Prepared:
        """Give the same mirrored; nothing of that is remembered, for its values are the same."""
        return self.prepared.flipped(axis)

    def features(self) -> dict[str, float]:
        """Describe what was taken; empty where the model was not asked."""
        if not self._values:
            return {}
        return of_values(np.concatenate([self._values[batch] for batch in sorted(self._values)]))
