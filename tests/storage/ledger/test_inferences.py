"""What models were asked stays on record: live beside shadow, by scanner and protocol."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from storage.ledger.inferences import LIVE, SHADOW, Inference
from storage.ledger.ledger import Ledger

ONE = Inference(
    job=7, model="lungs", served_model="ct_lungs", version="2", digest="a" * 64, stage=LIVE,
    server="triton 2.51", endpoint="127.0.0.1:8001", study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.4", revision=1, rule="chest", outcome="found", words="",
    images=60, is_cached=False, input_digest="b" * 64, scanner="Maker One", protocol="Chest thin",
    began_at=100.0, read_s=0.2, model_s=0.3, report_s=0.1,
    outputs={"volume": 5123.5}, features={"mean": -512.0}, results={"sr": ["1.2.3.5"]},
)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger.open(tmp_path)
    yield made
    made.close()


def test_an_inference_is_read_as_it_was_written(ledger):
    """Every fact, numbers and lists included."""
    number = ledger.inferences.add(ONE)
    (kept,) = ledger.inferences.newest("lungs")
    assert (kept.id, kept.beside, kept.said) == (number, None, ONE)


def test_shadows_stand_beside_the_live_one(ledger):
    """Each pair is found, and a live one without a shadow is in none."""
    ledger.inferences.add(ONE)
    shadow = replace(ONE, version="3", stage=SHADOW, outputs={"volume": 5000.0}, results={})
    ledger.inferences.add(ONE, [shadow])
    ((live, beside),) = ledger.inferences.pairs("lungs", "3")
    assert live.said == ONE
    assert (beside.said, beside.beside) == (shadow, live.id)
    assert ledger.inferences.pairs("lungs", "4") == []


def test_a_group_is_one_version_on_one_protocol(ledger):
    """Its first and its newest are given in order; refusals are not among them."""
    for volume in range(5):
        ledger.inferences.add(replace(ONE, outputs={"volume": float(volume)}))
    ledger.inferences.add(replace(ONE, protocol="Chest thick"))
    ledger.inferences.add(replace(ONE, outcome="refused", outputs={}))
    group = ("lungs", "2", "Maker One", "Chest thin")

    def volumes(*, newest: bool) -> list[float]:
        found = ledger.inferences.of_group(*group, limit=2, newest=newest)
        return [one.said.outputs["volume"] for one in found]

    assert volumes(newest=False) == [0.0, 1.0]
    assert volumes(newest=True) == [3.0, 4.0]
    assert ledger.inferences.groups("lungs") == [("2", "Maker One", "Chest thick"), group[1:]]


def test_the_newest_of_a_version_or_a_stage(ledger):
    """Newest first, and no more than asked for."""
    ledger.inferences.add(ONE, [replace(ONE, version="3", stage=SHADOW)])
    ledger.inferences.add(replace(ONE, version="3"))
    newest = ledger.inferences.newest
    assert [one.said.version for one in newest("lungs")] == ["3", "3", "2"]
    assert [one.said.stage for one in newest("lungs", version="3")] == [LIVE, SHADOW]
    assert len(newest("lungs", limit=1)) == 1
    assert [one.said.version for one in newest("lungs", stage=SHADOW)] == ["3"]
