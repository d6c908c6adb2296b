"""The registry of models: one live version, every decision on record, and a way back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom.errors import Refused
from storage.ledger.ledger import Ledger
from storage.ledger.models import MOVED, Decision, Registry, Stage, Version

WHO = Decision("ada", "agrees with the shadow", 5.0)
FILE, OTHER_FILE = "a" * 64, "b" * 64


def version(number: str, digest: str = FILE, stage: Stage = Stage.CANDIDATE) -> Version:
    return Version("lungs", number, digest, stage, "Lungs 1", "a file", 1.0, "ada")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path)
    yield made
    made.close()


@pytest.fixture
def registry(ledger: Ledger) -> Registry:
    for number in ("1", "2", "3"):
        assert ledger.registry.add(version(number))
    return ledger.registry


def stages(registry: Registry) -> dict[str, Stage]:
    return {one.version: one.stage for one in registry.versions("lungs")}


def test_a_model_that_nobody_registered_is_asked_as_ever(ledger):
    """Without a registry the server's newest version counts, and no shadow."""
    asked = ledger.registry.asked("lungs")
    assert (asked.live, asked.shadow) == ("", "")


def test_one_version_is_live(registry):
    """Promotion retires the version that was live; shadows stay what they are."""
    registry.move("lungs", "1", Stage.LIVE, WHO)
    registry.move("lungs", "3", Stage.SHADOW, WHO)
    assert registry.move("lungs", "2", Stage.LIVE, WHO).stage is Stage.LIVE
    assert stages(registry) == {"1": Stage.RETIRED, "2": Stage.LIVE, "3": Stage.SHADOW}
    asked = registry.asked("lungs")
    assert (asked.live, asked.shadow, asked.digests["2"]) == ("2", "3", FILE)


def test_one_version_is_the_shadow(registry):
    """A shadow that another replaces is retired; the live one stays."""
    registry.move("lungs", "1", Stage.LIVE, WHO)
    registry.move("lungs", "2", Stage.SHADOW, WHO)
    registry.move("lungs", "3", Stage.SHADOW, WHO)
    assert stages(registry) == {"1": Stage.LIVE, "2": Stage.RETIRED, "3": Stage.SHADOW}


def test_a_rollback_brings_back_the_one_before(registry):
    """And a second one goes forward again: it is the one that was live before."""
    for number in ("1", "2"):
        registry.move("lungs", number, Stage.LIVE, WHO)
    assert registry.rollback("lungs", WHO).version == "1"
    assert stages(registry)["2"] is Stage.RETIRED
    assert registry.rollback("lungs", WHO).version == "2"


def test_there_is_nothing_to_go_back_to(registry):
    """A first live version has none before it."""
    registry.move("lungs", "1", Stage.LIVE, WHO)
    with pytest.raises(Refused, match="no other live version"):
        registry.rollback("lungs", WHO)


@pytest.mark.parametrize(
    ("number", "stage", "words"),
    [("9", Stage.LIVE, "penumbra model list"), ("1", Stage.CANDIDATE, "candidate already")],
)
def test_what_cannot_be_decided_is_refused_with_words(registry, number, stage, words):
    """A version that is not there, and a stage where it stands."""
    before = stages(registry)
    with pytest.raises(Refused, match=words):
        registry.move("lungs", number, stage, WHO)
    assert stages(registry) == before


def test_a_number_stands_for_one_file(registry):
    """The same file again is nothing new; another one under its number is refused."""
    assert not registry.add(version("1"))
    with pytest.raises(Refused, match="another file"):
        registry.add(version("1", OTHER_FILE))
    assert registry.versions("lungs")[0].digest == FILE


def test_a_digest_may_come_later(registry):
    """A version that was first seen on a server gets the digest that somebody states."""
    registry.add(version("4", digest=""))
    assert not registry.add(version("4"))
    assert registry.asked("lungs").digests["4"] == FILE


def test_every_decision_is_on_record_and_told(ledger, registry):
    """Who, why, when, from where to where, newest first; and an event for each."""
    registry.move("lungs", "1", Stage.LIVE, WHO)
    registry.move("lungs", "2", Stage.LIVE, WHO)
    first, second, *_ = registry.moves("lungs")
    assert (first.version, first.before, first.after) == ("2", "candidate", "live")
    assert (first.by, first.reason, first.at) == ("ada", WHO.reason, 5.0)
    assert (second.version, second.after, second.reason) == ("1", "retired", "version 2 is live")
    told = [one for one in ledger.outbox.after(0, 100) if one.type == MOVED]
    assert len(told) == len(registry.moves()) == 6


def test_models_do_not_mix(registry):
    """What is live of one model says nothing of another."""
    registry.move("lungs", "1", Stage.LIVE, WHO)
    assert registry.asked("heart").live == ""
    assert registry.versions("heart") == []
