"""Who may link what: de-identified objects by their new UIDs, or all of them."""

from types import SimpleNamespace

import pytest

from config.model import Settings
from dicom.errors import DoesNotMatch
from node import links
from storage.destinations.base import Delivered, Receipt
from storage.ledger.paid import Paid

CLEAN, KEPT = "2.25.100", "2.25.1"
"""The new UID of a study, and the original one, under which it was sent to another store too."""


def paid(number: int, destination: str, profile: str) -> Paid:
    study = CLEAN if profile else KEPT
    receipt = Receipt(
        destination, "d", f"2.25.9{number}", f"s3://b/{profile}{number}", "d", "d", "read-back",
        0.0, study_instance_uid=study,
    )  # fmt: skip
    delivered = Delivered(receipt, None)
    return Paid(delivered, f"2.25.{number}", "CT", "1", 0.0, 1, "rule", 1, profile)


class Store:
    """A store that signs what it is asked to."""

    def __init__(self, *_args: object) -> None: ...

    def links(self, locations: list[str], _expires_s: float) -> list[str]:
        """Make a link of each."""
        return [f"https://{location}" for location in locations]

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def make(monkeypatch):
    """Make links where a study was sent to one store as it was, and to another under a profile."""
    monkeypatch.setattr(links, "ObjectStore", Store)
    told: list[object] = []
    all_paid = [paid(1, "lake", "p"), paid(2, "lake", "p"), paid(1, "archive", ""),
                paid(3, "lake", "")]  # fmt: skip
    ledger = SimpleNamespace(
        payments=SimpleNamespace(of_study=lambda uid: all_paid if uid in {CLEAN, KEPT} else []),
        outbox=SimpleNamespace(record=lambda events, _at: told.extend(events)),
    )
    store = {"kind": "object-store", "url": "s3://bucket/x"}
    settings = Settings.model_validate(
        {"node": {"data_dir": "/nowhere"}, "destinations": {"lake": store, "archive": store}}
    )

    def ask(study: str, destination: str | None = None, *, identified: bool) -> list[str]:
        made = links.make(
            settings, ledger, study, destination=destination, expires_s=60, by="x",
            identified=identified, clock=lambda: 0.0,
        )  # fmt: skip
        assert len(told) == 1
        return [one.url.removeprefix("https://s3://b/") for one in made]

    return ask


@pytest.mark.p4
def test_without_leave_only_what_left_under_a_profile_is_linked(make):
    """Of the new UID, and nothing that kept its identity, though it lies in the same store."""
    assert make(CLEAN, identified=False) == ["p1", "p2"]


@pytest.mark.p4
@pytest.mark.parametrize("destination", [None, "archive", "lake"])
@pytest.mark.parametrize("study", [KEPT, "2.25.404"])
def test_an_original_uid_tells_nothing(make, study, destination):
    """Whoever may link de-identified objects alone cannot learn what became of an original UID."""
    with pytest.raises(DoesNotMatch) as fault:
        make(study, destination, identified=False)
    words = str(fault.value).replace(study, "UID")
    assert words == str(refusal(make, destination)).replace("2.25.405", "UID")


def refusal(make, destination):
    with pytest.raises(DoesNotMatch) as fault:
        make("2.25.405", destination, identified=False)
    return fault.value


def test_with_leave_everything_is_linked(make):
    """An administrator, or a token that may, names the study by either UID."""
    assert make(KEPT, "lake", identified=True) == ["p1", "p2", "3"]


def test_with_leave_the_other_uid_too(make):
    """The same by the new UID."""
    assert make(CLEAN, "archive", identified=True) == ["1"]
