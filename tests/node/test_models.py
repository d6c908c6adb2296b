"""What is known and decided about models: drift by group, agreement by shadow, no fixed version."""

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ai.drift import ALARM
from config.load import load
from config.model import Settings
from dicom.errors import DoesNotMatch, Refused
from node.models import REFERENCE, WINDOW, Models, digest_of
from storage.ledger.inferences import LIVE, SHADOW, Inference
from storage.ledger.ledger import Ledger
from storage.ledger.models import Decision, Stage, Version

CONFIG = """
[node]
data_dir = "var"
[models.lungs]
endpoints = ["127.0.0.1:1"]
model = "ct"
[models.fixed]
endpoints = ["127.0.0.1:1"]
model = "ct"
version = "1"
"""
ONE = Inference(
    job=7, model="lungs", served_model="ct", version="1", digest="", stage=LIVE, server="triton",
    endpoint="127.0.0.1:1", study_instance_uid="1.2.3", series_instance_uid="1.2.3.4", revision=1,
    rule="chest", outcome="found", words="", images=60, is_cached=False, input_digest="",
    scanner="Maker One", protocol="Chest", began_at=1.0, read_s=0.1, model_s=0.1, report_s=0.1,
)  # fmt: skip
WHO = Decision("ada", "why not", 1.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "node.toml"
    file.write_text(CONFIG)
    return load(file)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger.open(tmp_path / "var")) as made:
        yield made


@pytest.fixture
def models(settings: Settings, ledger: Ledger) -> Models:
    made = Models(settings, ledger)
    for model in ("lungs", "fixed"):
        for version in ("1", "2"):
            made.register(Version(model, version, "", Stage.CANDIDATE, "A", "a file", 1.0, "ada"))
    return made


def fill(ledger: Ledger, moved: float) -> None:
    """Write a reference and a later sample, in which one number has moved."""
    chance = random.Random(3)
    for number in range(REFERENCE + WINDOW):
        shift = moved if number >= REFERENCE else 0.0
        said = replace(
            ONE,
            outputs={"volume": chance.gauss(5000, 300)},
            features={"input.mean": chance.gauss(-500 + 20 * shift, 20)},
        )
        ledger.inferences.add(said)


@pytest.mark.parametrize(("moved", "is_alarm"), [(0.0, False), (2.0, True)])
def test_a_scanner_that_changed_is_seen(models, ledger, moved, is_alarm):
    """The newest inferences of a protocol are held against its first; what moved comes first."""
    fill(ledger, moved)
    (watched,) = models.drifts("lungs")
    assert (watched.group.scanner, watched.newer) == ("Maker One", WINDOW)
    assert (watched.drifts[0].psi > ALARM) is is_alarm
    if is_alarm:
        assert watched.drifts[0].name == "input.mean"
        assert watched.drifts[0].now - watched.drifts[0].then == pytest.approx(40, abs=10)


def test_few_inferences_say_nothing(models, ledger):
    """While there are no more than the reference, nothing can have moved."""
    ledger.inferences.add(replace(ONE, outputs={"volume": 1.0}))
    (watched,) = models.drifts("lungs")
    assert (watched.newer, watched.drifts) == (0, ())


def test_shadows_are_held_against_the_live_one(models, ledger):
    """By version, with the bias of what both said."""
    for volume in (10.0, 20.0):
        live = replace(ONE, outputs={"volume": volume})
        shadow = replace(ONE, version="2", stage=SHADOW, outputs={"volume": volume + 1})
        ledger.inferences.add(live, [shadow])
    found = models.agreements("lungs")
    assert list(found) == ["2"]
    assert (found["2"][0].pairs, found["2"][0].bias) == (2, 1.0)


def test_a_fixed_version_is_not_promoted_past(models):
    """Where the config fixes a version, no other one goes live: the words say what to change."""
    with pytest.raises(Refused, match="take it out of the config file"):
        models.move("fixed", "2", Stage.LIVE, WHO)
    assert models.move("fixed", "1", Stage.LIVE, WHO).stage is Stage.LIVE
    assert models.move("fixed", "2", Stage.SHADOW, WHO).stage is Stage.SHADOW
    assert models.move("lungs", "2", Stage.LIVE, WHO).stage is Stage.LIVE


@pytest.mark.parametrize("ask", ["versions", "moves", "drifts", "agreements"])
def test_a_model_that_the_config_does_not_have_is_named(models, ask):
    """And those that it has are listed."""
    with pytest.raises(DoesNotMatch, match="fixed, lungs"):
        getattr(models, ask)("heart")


def test_the_digest_of_a_file(tmp_path):
    """SHA-256; a file that is not there is named."""
    file = tmp_path / "model.onnx"
    file.write_bytes(b"abc")
    assert digest_of(file).startswith("ba7816bf")
    with pytest.raises(Refused, match="No such file"):
        digest_of(tmp_path / "nothing.onnx")
