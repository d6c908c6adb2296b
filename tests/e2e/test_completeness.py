"""A running node says when Series and Studies are complete, and why."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from pydicom import dcmwrite

from config.load import load
from examples.peers import orthanc
from examples.peers.node import Node, running_node
from node import study_account
from storage.ledger.events import Event
from storage.ledger.expectations import Expected

TABLES = """
[peers.SCANNER]
may = ["store"]
[destinations.out]
kind = "folder"
path = "out"
[destinations.whole]
kind = "folder"
path = "whole"
[[rules]]
name = "each"
send = ["out"]
[[rules]]
name = "together"
per = "study"
when = { ModalitiesInStudy = "CT" }
send = ["whole"]
"""
SERIES, STUDY = "penumbra.series.settled", "penumbra.study.settled"
DELIVERED = "penumbra.series.delivered"


def of(seen: Sequence[Event], kind: str, **facts: object) -> list[Event]:
    """Choose events of a type that hold these facts."""
    return [one for one in seen if one.type == kind and facts.items() <= one.data.items()]


def objects(node: Node, folder: str) -> int:
    return len(list((node.config.parent / folder).rglob("*.dcm")))


@pytest.mark.p3
def test_what_is_missing_is_waited_for_and_a_study_goes_as_one(
    tmp_path: Path, make_ct: Callable, store: Callable
):
    """A Series short of what was announced settles late and says so; its Study goes afterwards."""
    images = [make_ct(number) for number in (1, 2)]
    study, series = images[0].StudyInstanceUID, images[0].SeriesInstanceUID
    with running_node(tmp_path, TABLES) as node:
        with closing(node.ledger()) as ledger:
            ledger.expectations.note([Expected(study, series, "mpps", 3)], time.time())
        store(node, images)
        seen = node.wait_for(lambda seen: len(of(seen, DELIVERED)) == 2, 30, "both deliveries")
        (settled,), (whole,) = of(seen, SERIES), of(seen, STUDY, revision=1, series=1, jobs=1)
        assert str(settled.data["words"]).endswith(", 1 of 3 announced missing (mpps)")
        assert settled.id < whole.id < of(seen, DELIVERED, rule="together")[0].id
        assert (objects(node, "out"), objects(node, "whole")) == (2, 2)

        # The one that was missing, and a Series that nobody spoke of.
        store(node, [make_ct(3), make_ct(1, series=2)])
        seen = node.wait_for(lambda seen: len(of(seen, DELIVERED)) == 6, 30, "what came late")
        assert of(seen, SERIES, revision=2, reason="expected")
        assert of(seen, STUDY, revision=2, series=2, jobs=2)
        assert (objects(node, "out"), objects(node, "whole")) == (4, 4)
        assert [one.data["instances"] for one in of(seen, DELIVERED)] == [2, 2, 1, 1, 1, 1]

        told = "\n".join(study_account.lines(study_account.read(load(node.config), study)))
        assert "announced: 3 objects (mpps)" in told
        assert ", 1 of 3 announced missing (mpps); 2 objects, 1 job" in told
        assert "expected, all 3 announced are there (mpps); 3 objects, 1 job" in told


@pytest.mark.skipif(not orthanc.binary(), reason="needs Orthanc (Debian: apt-get install orthanc)")
def test_who_sends_a_study_is_asked_how_large_it_is(tmp_path: Path, make_ct: Callable):
    """With the number that the sender tells, the Study is complete without any quiet time."""
    with orthanc.running(tmp_path / "pacs") as pacs:
        for number in (1, 2, 3):
            image, file = make_ct(number), tmp_path / f"{number}.dcm"
            dcmwrite(file, image, enforce_file_format=True)
            pacs.add(file.read_bytes())
        peer = f'host = "127.0.0.1"\nport = {pacs.port}\nask_counts = true\nmay = ["store"]\n'
        tables = TABLES + f"[peers.{pacs.aet}]\n{peer}"
        with running_node(tmp_path / "node", tables) as node:
            pacs.store_all("PENUMBRA", node.port)
            seen = node.wait_for(lambda seen: of(seen, STUDY), 20, "the Study")
            (settled,) = of(seen, STUDY)
            assert settled.data["words"] == "expected, all 3 announced are there (query)"
