"""Performed procedure steps over the wire: the node's answers, and what it learns from them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from dicom.mpps import PerformedSeries, Status, Step
from examples.peers import modality
from node.services.mpps import MppsService, announced
from storage.ledger.expectations import Expected
from storage.ledger.ledger import Ledger

PEERS = {"SCANNER": {"may": ["mpps"]}, "NOSTORE": {"may": ["find"]}}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own."""
    ledger = Ledger.open(tmp_path / "var")
    yield ledger
    ledger.close()


@pytest.fixture
def door(ledger: Ledger, open_door: Callable[..., Any]) -> Any:
    """A door with the service."""
    return open_door(
        peers=PEERS,
        services=lambda settings: [MppsService(settings, ledger.steps, ledger.expectations)],
    )


def test_a_completed_step_says_what_is_to_come(door: Any, ledger: Ledger) -> None:
    """The Instances that a step names are expected of each of its Series, once it is completed."""
    with modality.performing(door.port, "SCANNER", "PENUMBRA") as association:
        assert modality.create(association, "1.2.9", modality.beginning("1.2.3")).Status == 0
        assert ledger.expectations.of_study("1.2.3") == []
        made = {"1.2.3.1": ["1.2.3.1.1", "1.2.3.1.2"], "1.2.3.2": []}
        assert modality.change(association, "1.2.9", modality.ending("COMPLETED", made)).Status == 0
    named = ("1.2.3.1.1", "1.2.3.1.2")
    assert ledger.expectations.of_study("1.2.3") == [Expected("1.2.3", "1.2.3.1", "mpps", 2, named)]
    (told,) = ledger.outbox.after(0, 10)
    assert (told.type, told.subject) == ("penumbra.mpps.completed", "1.2.9")


def test_steps_are_refused_by_the_standards_statuses(door: Any) -> None:
    """Duplicate, unknown, missing, wrong and late requests each hear their own status."""
    with modality.performing(door.port, "SCANNER", "PENUMBRA") as association:
        good, made = modality.beginning("1.2.3"), {"1.2.3.1": ["1.2.3.1.1"]}
        assert modality.create(association, "1.2.9", good).Status == 0
        assert modality.create(association, "1.2.9", good).Status == 0x0111
        ended = modality.ending("COMPLETED", made)
        assert modality.change(association, "1.2.8", ended).Status == 0x0112
        del good.Modality
        assert modality.create(association, "1.2.7", good).Status == 0x0120
        assert modality.change(association, "1.2.9", ended).Status == 0
        late = modality.change(association, "1.2.9", modality.ending("DISCONTINUED", made))
        assert (late.Status, late.ErrorID) == (0x0110, 0xA710)
        assert "no longer be updated" in late.ErrorComment


def test_a_step_without_a_name_is_given_one(door: Any) -> None:
    """Where the modality leaves the SOP Instance UID to the node, it hears which one it is."""
    with modality.performing(door.port, "SCANNER", "PENUMBRA") as association:
        answer = modality.create(association, None, modality.beginning("1.2.3"))
        name = str(answer.AffectedSOPInstanceUID)
        ended = modality.ending("DISCONTINUED", {})
        assert modality.change(association, name, ended).Status == 0


def test_who_may_not_hears_it_at_the_door(door: Any) -> None:
    """Without the permission the presentation context is refused."""
    with modality.performing(door.port, "NOSTORE", "PENUMBRA") as association:
        assert not association.is_established


@pytest.mark.p6
def test_nothing_of_the_patient_is_kept_or_told(door: Any, tmp_path: Path) -> None:
    """Neither the log nor the ledger holds the patient that a step is about."""
    with (
        structlog.testing.capture_logs() as lines,
        modality.performing(door.port, "SCANNER", "PENUMBRA") as association,
    ):
        assert modality.create(association, "1.2.9", modality.beginning("1.2.3")).Status == 0
        assert modality.create(association, "1.2.9", modality.beginning("1.2.3")).Status != 0
    kept = b"".join(each.read_bytes() for each in (tmp_path / "var").iterdir() if each.is_file())
    assert b"1.2.9" in kept
    assert b"KANARIENVOGEL" not in kept + str(lines).encode()


def test_a_step_for_two_studies_announces_nothing() -> None:
    """Which Series belongs to which Study is not said, so nothing is expected of either."""
    made = (PerformedSeries("1.2", ("1.2.3",)),)
    assert announced(Step(Status.COMPLETED, ("1.1",), made))
    assert not announced(Step(Status.COMPLETED, ("1.1", "1.9"), made))
