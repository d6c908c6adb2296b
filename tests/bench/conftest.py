"""Measurements as a run leaves them, made by hand."""

from collections.abc import Callable

import pytest

from bench.ingest import native
from bench.ingest.results import Cell


@pytest.fixture
def cell() -> Callable[..., Cell]:
    """Make a measurement: so many objects in a second, unless the fields say otherwise."""

    def make(peer="node", work="ct", associations=1, objects=100, **fields):
        usual = {"case": "matrix", "repetition": 0, "bytes": objects * 1e6, "seconds": 1.0}
        return Cell(**{
            **usual, "peer": peer, "work": work, "associations": associations, "objects": objects,
            **fields,
        })  # fmt: skip

    return make


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The load generator, the floor and the shim, compiled here."""
    if native.compiler() is None:
        pytest.skip("needs a C compiler (Debian package gcc)")
    return native.build(tmp_path_factory.mktemp("bin"))
