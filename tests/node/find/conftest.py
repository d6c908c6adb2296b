"""A node that answers queries alone, over people of many scripts and a crowd of plain ones."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from config.model import Settings
from dicom import head, part10
from dicom.entity import Arrival, Instance, Location
from dicom.errors import SpoolFull
from examples.peers.find_scu import CT, EXPLICIT, written
from examples.peers.people import PEOPLE
from node.listener import Listener
from node.services.find import FindService
from node.services.store import StoreService
from storage.index.database import Entry, Index


def stored(number: int, terms: list[str], **keys: Any) -> Entry:
    """One object as the follower reads it."""
    dataset = Dataset()
    if terms:
        dataset.SpecificCharacterSet = terms
    uids = {"StudyInstanceUID": f"1.{number}", "SeriesInstanceUID": f"1.{number}.1"}
    for keyword, value in {**uids, "SOPInstanceUID": f"1.{number}.1.1", **keys}.items():
        setattr(dataset, keyword, value)
    arrival = Arrival(CT, dataset.SOPInstanceUID, EXPLICIT, "CT1", "PENUMBRA", "a", "h", 1.0)
    instance = Instance(arrival, Location("s", number, 1), f"{number:064x}")
    return instance, head.of_dataset(part10.read_head(written(dataset)))


def sequences() -> Entry:
    """An object with two requests."""
    meaning, first, second = Dataset(), Dataset(), Dataset()
    meaning.CodeMeaning = "Schädel"
    first.RequestedProcedureID, second.RequestedProcedureID = "RP1", "RP2"
    first.ScheduledProtocolCodeSequence = Items([meaning])
    uids = {"StudyInstanceUID": "7.1", "SeriesInstanceUID": "7.1.1", "SOPInstanceUID": "7.1.1.1"}
    return stored(
        500, ["ISO_IR 192"], **uids, PatientID="sequences", PatientName="Şequence^Ümit",
        StudyDate="20240131", StudyTime="003000", Rows=512, ImageType=["ORIGINAL", "PRIMARY"],
        RequestAttributesSequence=Items([first, second]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index of people of many scripts, and 300 studies of one plain patient."""
    found = Index.open(tmp_path_factory.mktemp("index") / "index.duckdb")
    people = [
        stored(number, terms, PatientName=name, PatientID=who, Modality="CT", StudyDate="20240131")
        for number, (who, (terms, name)) in enumerate(PEOPLE.items(), 1)
    ]
    crowd = [stored(n, [], PatientName="Doe^John", PatientID="crowd") for n in range(100, 400)]
    found.add(
        [*people, *crowd, sequences(), stored(501, ["ISO_IR 192"], PatientName="Žoë^Œuf")], {}
    )
    yield found
    found.close()


class Closed:
    """A spool that takes nothing."""

    def begin(self, arrival: Arrival) -> Any:
        raise SpoolFull("no room")


def settings_of(**query: Any) -> Settings:
    """SCANNER may find, NOFIND may not."""
    peers = {
        "SCANNER": {"may": ["find"]},
        "NOFIND": {"may": ["store"]},
        "ORTHANC": {"may": ["find"]},
    }
    node = {"host": "127.0.0.1", "port": 0, "idle_timeout_s": 5}
    return Settings.model_validate({"node": node, "peers": peers, "query": query})


@contextlib.contextmanager
def serving_over(index: Any, released: Any = lambda *_: (), **query: Any) -> Iterator[int]:
    """Run a listener with the service over an index; gives its port."""
    settings = settings_of(**query)
    store = StoreService(Closed(), settings, [], time.time)
    listener = Listener(settings, store, [FindService(settings, index, released)])
    listener.start()
    try:
        assert listener.port is not None
        yield listener.port
    finally:
        listener.stop(1)


@pytest.fixture(scope="session")
def serving() -> Callable[..., contextlib.AbstractContextManager[int]]:
    """Run a node with the service over an index, with keys of [query]; gives its port."""
    return serving_over


@pytest.fixture(scope="session")
def find_settings() -> Callable[..., Settings]:
    """Settings of such a node."""
    return settings_of


@pytest.fixture(scope="session")
def port(index: Index) -> Iterator[int]:
    """The port of a node with the service."""
    with serving_over(index) as found:
        yield found
