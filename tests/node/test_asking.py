"""Peers are asked how many Instances a Study has, and nothing waits for their answer."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from examples.peers import orthanc
from examples.peers.process import free_port, wait_until
from node.asking import AGAIN_S, RESPITE_S, Asking, counts
from storage.ledger.expectations import Expected

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = "1.2.4"


@pytest.fixture
def asking(front, make_settings):
    """Make an asker of a peer PACS at a port; ended afterwards."""
    made: list[Asking] = []

    def start(port: int, clock: Any = time.time) -> Asking:
        peers = {
            "PACS": {"host": "127.0.0.1", "port": port, "ask_counts": True},
            "CT1": {"host": "127.0.0.1", "port": port},
        }
        made.append(Asking(make_settings(peers=peers), front.ledger.expectations, clock=clock))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop(10)


def done(asking: Asking, answered: int = 0, failed: int = 0) -> None:
    """Wait until so many questions have ended, and see that no more did."""
    wanted = {"answered": answered, "failed": failed}
    wait_until(lambda: asking.outcomes == wanted, 20, f"{wanted}, not {asking.outcomes}")


def part10_of(number: int, series: str) -> bytes:
    """Make a Part 10 file of the Study."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = CT, f"{series}.{number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = STUDY, series
    image.Modality, image.PatientID = "CT", "1"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    dcmwrite(stream, image, enforce_file_format=True)
    return stream.getvalue()


def test_a_pacs_tells_its_numbers(front, asking, tmp_path: Path):
    """Orthanc is asked about a Study, and its numbers stand in the ledger."""
    if not orthanc.binary():
        pytest.skip("needs Orthanc (Debian: apt-get install orthanc)")
    with orthanc.running(tmp_path / "pacs", aet="PACS") as pacs:
        for number, series in ((1, "1.2.4.1"), (2, "1.2.4.1"), (3, "1.2.4.2")):
            pacs.add(part10_of(number, series))
        asked = asking(pacs.port)
        asked.ask("CT1", STUDY)
        asked.ask("PACS", STUDY)
        asked.ask("PACS", STUDY)
        done(asked, answered=1)
    assert set(front.ledger.expectations.of_study(STUDY)) == {
        Expected(STUDY, "", "query", 3),
        Expected(STUDY, "1.2.4.1", "query", 2),
        Expected(STUDY, "1.2.4.2", "query", 1),
    }


def test_a_peer_that_is_gone_is_left_alone_for_a_while(front, asking):
    """A question that fails is counted, and whoever it was meant for is not asked at once again."""
    now = 1000.0
    asked = asking(free_port(), lambda: now)
    asked.ask("PACS", STUDY)
    done(asked, failed=1)
    asked.ask("PACS", "1.2.5")
    asked.ask("PACS", STUDY)
    assert not asked._wanted
    now += RESPITE_S + 1
    asked.ask("PACS", "1.2.5")
    done(asked, failed=2)
    assert front.ledger.expectations.of_study(STUDY) == []


def test_a_study_is_asked_about_again_only_later(asking, monkeypatch):
    """While a Study comes in, its number is not asked for all the time."""
    now = 1000.0
    asked = asking(free_port(), lambda: now)
    monkeypatch.setattr(asked, "_answer", lambda *_: asked.outcomes.update(answered=1))
    asked.ask("PACS", STUDY)
    done(asked, answered=1)
    wait_until(lambda: not asked._wanted, 5, "the end of the first")
    asked.ask("PACS", STUDY)
    assert not asked._wanted
    now += AGAIN_S
    asked.ask("PACS", STUDY)
    done(asked, answered=2)


def match(**values: str) -> Dataset:
    found = Dataset()
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


def test_what_makes_no_sense_is_left_out():
    """Peers that do not count, count oddly, or tell of another Study announce nothing."""
    of_study = [
        match(NumberOfStudyRelatedInstances="7", StudyInstanceUID=STUDY),
        match(NumberOfStudyRelatedInstances="9", StudyInstanceUID="1.9"),
        match(StudyInstanceUID=STUDY),
    ]
    of_series = [
        match(NumberOfSeriesRelatedInstances="4", SeriesInstanceUID="1.2.4.1"),
        match(NumberOfSeriesRelatedInstances="-1", SeriesInstanceUID="1.2.4.2"),
        match(NumberOfSeriesRelatedInstances="4"),
        match(SeriesInstanceUID="1.2.4.3"),
    ]
    found = counts(
        lambda wanted, _: iter(of_study if wanted.QueryRetrieveLevel == "STUDY" else of_series),
        STUDY,
    )
    assert list(found) == [
        Expected(STUDY, "", "query", 7),
        Expected(STUDY, "1.2.4.1", "query", 4),
    ]
