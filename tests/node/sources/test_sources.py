"""The threads of the sources: woken, in trouble, stopped, counted."""

import threading
from collections.abc import Iterator

import pytest

from config.model import Settings
from dicom.errors import ConfigFault, DoesNotMatch, Refused, StorageFault
from examples.peers.process import wait_until
from node.metrics import Metrics
from node.sources import sources as module
from node.sources.sources import Sources, Watch, open_sources
from node.sources.terms import Tally


class Doors:
    """A door that does what a test says."""

    def __init__(self) -> None:
        self.looks: list[set[str] | None] = []
        self.fault: Exception | None = None
        self.tally = Tally()
        self.closed = threading.Event()

    def look(self, keys=None) -> Tally:
        """Note the look."""
        self.looks.append(keys)
        self.tally = Tally(taken=1)
        if self.fault:
            raise self.fault
        return self.tally

    def close(self) -> None:
        """Note the end."""
        self.closed.set()


@pytest.fixture
def door() -> Doors:
    return Doors()


@pytest.fixture
def watch(door) -> Iterator[Watch]:
    """The thread of a source that looks once an hour."""
    made = Watch("inbox", 3600, lambda _stopping: door)
    made.start()
    wait_until(lambda: len(door.looks) == 1, 10, "the first look")
    yield made
    made.ask_to_stop()
    made.join(5)
    assert door.closed.is_set()


def test_keys_wake_it_for_themselves(door, watch):
    """A message about keys makes it look at these alone, at once."""
    watch.wake({"a", "b"})
    wait_until(lambda: len(door.looks) == 2, 10, "the second look")
    assert door.looks == [None, {"a", "b"}]


def test_too_many_keys_are_a_look_through_everything(door, watch, monkeypatch):
    """A flood of messages takes no memory: everything is looked through instead."""
    monkeypatch.setattr(module, "MOST_KEYS", 10)
    watch.wake(map(str, range(11)))
    wait_until(lambda: len(door.looks) == 2, 10, "the second look")
    assert door.looks[1] is None


@pytest.mark.parametrize(
    ("fault", "words"),
    [(Refused("access denied"), "refused: access denied"), (KeyError("DOE^JANE"), "bug: KeyError")],
)
def test_trouble_is_told_and_ends(door, watch, fault, words):
    """A fault is told with its words, a bug without; what was taken before it counts."""
    door.fault = fault
    watch.wake({"a"})
    wait_until(lambda: watch.facts()["trouble"] != "", 10, "the trouble")
    assert str(watch.facts()["trouble"]).startswith(words)
    assert "DOE" not in str(watch.facts())
    door.fault = None
    watch.wake({"a"})
    wait_until(lambda: watch.facts()["trouble"] == "", 10, "the end of it")
    assert watch.facts()["taken"] == 3


def test_metrics_count_each_source(watch):
    """Taken, rejected and waiting objects of each source are in /metrics."""
    metrics = Metrics([])
    metrics.read_from(lambda: {"sources": Sources({"inbox": watch}).facts()})
    text = metrics.render().decode()
    assert 'penumbra_source_objects{source="inbox",state="taken"} 1.0' in text
    assert 'penumbra_source_objects{source="inbox",state="waiting"} 0.0' in text
    assert 'penumbra_source_in_trouble{source="inbox"} 0.0' in text
    assert 'penumbra_source_looked_timestamp_seconds{source="inbox"} 1' in text


def test_an_unknown_source_cannot_be_woken():
    """Nobody is woken by a name that is none."""
    with pytest.raises(DoesNotMatch):
        Sources({}).wake("nobody", [])


def test_a_folder_that_is_not_there_is_trouble_and_not_an_empty_one(bench):
    """A share that is not mounted is told, and the node starts all the same."""
    door = bench.door(place=module.FolderPlace(bench.root / "gone", 0))
    with pytest.raises(StorageFault, match="mount it"):
        door.look()


def test_each_table_becomes_a_door(bench, tmp_path):
    """Sources of the config file are opened; a secret that is not there is a ConfigFault."""
    tables = {"node": {"data_dir": tmp_path}, "sources": {
        "box": {"kind": "folder", "path": tmp_path},
        "inbox": {"kind": "bucket", "url": f"file://{tmp_path}/b"},
    }}  # fmt: skip
    made = open_sources(
        Settings.model_validate(tables), bench.spool, bench.ledger.taken, bench.brake, print
    )
    made.stop()  # safe before start
    assert set(made.facts()) == {"box", "inbox"}
    tables["sources"]["inbox"] |= {"access_key": {"env": "NOT_SET_9"},
                                   "secret_key": {"env": "NOT_SET_9"}}  # fmt: skip
    with pytest.raises(ConfigFault):
        open_sources(
            Settings.model_validate(tables), bench.spool, bench.ledger.taken, bench.brake, print
        )
