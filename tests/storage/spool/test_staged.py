"""Reading what lies in another node's spool, and was staged."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import BinaryIO

import pytest

from dicom.entity import Instance, Location
from dicom.errors import Corrupt, Unreachable
from storage.spool.identity import ensure_identity
from storage.spool.reader import Elsewhere, SpoolReader
from storage.spool.spool import Spool
from storage.spool.staged import KEPT, StagedReader


def of_node(instance: Instance, node: str) -> Instance:
    return replace(instance, location=replace(instance.location, node=node))


@pytest.fixture
def stored(open_spool, objects) -> tuple[Spool, Instance, bytes]:
    """An object in a spool that has a name, as the shared ledger knows it."""
    spool, content = open_spool(), objects.body(100_000)
    name = ensure_identity(spool.root, "here")
    return spool, of_node(objects.store(spool, content), name), content


def test_what_is_here_is_read_here(stored):
    """A place of this node needs nobody else."""
    spool, instance, content = stored

    def never(place: Location, into: BinaryIO) -> None:
        raise AssertionError

    reader = StagedReader(spool.root, fetch=never)
    reader.verify(instance)
    assert bytes(reader.view(instance.location)) == content


def test_the_same_place_of_another_node_is_not_ours(stored):
    """A place of another node is never read from this spool, though a segment has its name."""
    spool, instance, _ = stored
    foreign = of_node(instance, "there")
    for read in (SpoolReader.view, SpoolReader.open, SpoolReader.record_at):
        with pytest.raises(Elsewhere, match="staging"):
            read(SpoolReader(spool.root), foreign.location)
    with pytest.raises(Elsewhere):
        SpoolReader(spool.root).verify(foreign)


def test_what_was_staged_is_fetched_once_and_checked(stored, tmp_path):
    """Verifying and reading an object fetches it once; other bytes are refused."""
    _, instance, content = stored
    fetched = []

    def fetch(place: Location, into: BinaryIO) -> None:
        fetched.append(place)
        into.write(content if len(fetched) == 1 else content[:-1] + b"?")

    afar = StagedReader(tmp_path / "elsewhere" / "spool", fetch=fetch)
    afar.verify(instance)
    assert bytes(afar.view(instance.location)) == content
    assert len(fetched) == 1
    other = replace(instance, location=replace(instance.location, offset=1))
    with pytest.raises(Corrupt, match="digest"):
        afar.verify(other)
    assert list((tmp_path / "elsewhere").iterdir()) == [], "nothing is left on the disk"


def test_threads_never_get_each_others_object(stored, tmp_path):
    """While one object is sent the next are checked: each is fetched once, and is itself."""
    _, instance, _ = stored
    places = [replace(instance.location, offset=n) for n in range(6)]
    fetched = []

    def fetch(place: Location, into: BinaryIO) -> None:
        fetched.append(place.offset)
        into.write(str(place.offset).encode())

    afar = StagedReader(tmp_path / "elsewhere" / "spool", fetch=fetch)
    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(lambda n: bytes(afar.view(places[n % 6])), range(600)))
    assert seen == [str(n % 6).encode() for n in range(600)]
    assert sorted(fetched) == list(range(6))
    for n in range(20):
        afar.view(replace(instance.location, offset=100 + n))
    assert len(afar._fetched) == KEPT
    afar.let_go()
    assert not afar._fetched


def test_a_store_that_is_away_is_said_so(tmp_path):
    """What the store says comes through; nothing is kept of a fetch that broke off."""

    def fetch(place: Location, into: BinaryIO) -> None:
        into.write(b"half")
        raise Unreachable("the bucket is away")

    reader = StagedReader(tmp_path / "spool", fetch=fetch)
    for _ in range(2):
        with pytest.raises(Unreachable):
            reader.view(Location("w-1", 0, 10, "there"))
