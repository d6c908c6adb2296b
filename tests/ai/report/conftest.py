"""Results about example originals, built once for each kind of findings."""

import copy
import io
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from ai.report.build import build
from ai.result import Result, ResultKind
from examples.results import originals
from examples.results.__main__ import SETTLED
from examples.results.findings import subject


@lru_cache(maxsize=64)
def _results(kind: str, found: str, kinds: tuple[ResultKind, ...]) -> tuple[Result, ...]:
    source = originals.source(kind, originals.NAMES[0])
    pixels = partial(originals.pixels, source)
    return build(subject(source, found), kinds, now=SETTLED, images=pixels)


@pytest.fixture(scope="session")
def results() -> Callable[..., tuple[Result, ...]]:
    """Build the results of findings about an original: of all kinds, or of those that are named."""
    return lambda kind, found, *kinds: _results(kind, found, kinds or tuple(ResultKind))


@pytest.fixture(scope="session")
def sided() -> Callable[..., tuple[Result, ...]]:
    """Build results about two breasts in one Series, the second looked at from its other side.

    `changes` are more of what the second image's header says.
    """

    def make(found: str, **changes: object) -> tuple[Result, ...]:
        source = originals.source("MG", originals.NAMES[0])
        other = copy.deepcopy(source.head)
        other.PatientOrientation = ["P", "L"]
        other.PhotometricInterpretation = "MONOCHROME1"
        for keyword, value in changes.items():
            setattr(other, keyword, value)
        source = replace(source, heads=(source.head, other))
        pixels = partial(originals.pixels, source)
        return build(subject(source, found), tuple(ResultKind), now=SETTLED, images=pixels)

    return make


@pytest.fixture(scope="session")
def one(results) -> Callable[[str, str, ResultKind], Dataset]:
    """Build the results of findings about an original, and read the first one of a kind."""

    def read(kind: str, found: str, wanted: ResultKind) -> Dataset:
        made = [result for result in results(kind, found) if result.kind is wanted]
        return dcmread(io.BytesIO(made[0].part10))

    return read
