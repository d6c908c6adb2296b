"""The committed chest X-ray classifier, by the real Triton on images that no training saw."""

import hashlib
import json
from dataclasses import asdict

import numpy as np
import pytest

from ai import server
from ai.findings import Embedding, Heatmap, Verdict
from ai.phantoms import radiograph
from ai.training import metrics, serving
from ai.training.synthetic import FIELD_OF_VIEW_MM, FINDINGS, SIZE, Finding, draw

FOLDER = server.REFERENCE_REPOSITORY / serving.NAME
POPULATION = 555_001
"""A seed that no training uses."""
COUNT = 200


@pytest.fixture(scope="module")
def fresh():
    """Made-up patients with one image each, all classes equally often."""
    return [draw(POPULATION, at, 0, FINDINGS[at % len(FINDINGS)]) for at in range(COUNT)]


@pytest.fixture(scope="module")
def answer(asker, fresh):
    pixels = np.stack([one.pixels for one in fresh])[:, np.newaxis]
    parts = [
        asker.ask(serving.NAME, {"images": pixels[at : at + 50]}) for at in range(0, COUNT, 50)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.fixture(scope="module")
def figures():
    return json.loads((FOLDER / "metrics.json").read_text())


def test_every_class_is_told_from_the_others(answer, fresh, figures):
    """AUC of at least 0.98 for each class, and calibrated within what 200 images can tell."""
    labels = np.array([FINDINGS.index(one.finding) for one in fresh])
    found = metrics.measure(answer["probability"], labels, figures["conformal"])
    assert min(found.auc) >= 0.98, asdict(found)
    assert found.ece <= 0.05
    assert found.coverage >= serving.COVERAGE - 0.03
    np.testing.assert_allclose(answer["probability"].sum(axis=1), 1, atol=1e-5)


def test_the_temperature_is_inside(answer, figures):
    """Probabilities are the softmax of the logits at the card's temperature."""
    again = metrics.softmax(answer["logit"], figures["temperature"])
    np.testing.assert_allclose(answer["probability"], again, atol=1e-4)


def test_the_activation_peaks_on_the_nodule(answer, fresh):
    """The greatest evidence lies on the nodule, give or take a cell of the map, in 9 of 10."""
    hits = []
    for one, activation in zip(fresh, answer["activation"], strict=True):
        if one.finding is not Finding.NODULE:
            continue
        cell = SIZE / activation.shape[0]
        peak = (np.array(np.unravel_index(activation.argmax(), activation.shape)) + 0.5) * cell
        radius = one.diameter_mm / 2 * SIZE / FIELD_OF_VIEW_MM
        hits.append(np.hypot(*(peak - one.place)) <= radius + cell)
    assert np.mean(hits) >= 0.9


def test_exposure_does_not_matter(asker, fresh, answer):
    """Another gain and offset give the same answer."""
    pixels = np.stack([one.pixels for one in fresh[:10]])[:, np.newaxis]
    brighter = asker.ask(serving.NAME, {"images": pixels * 700 + 90})
    np.testing.assert_allclose(brighter["probability"], answer["probability"][:10], atol=1e-3)
    assert answer["embedding"].shape == (COUNT, 64)


@pytest.mark.parametrize("is_monochrome1", [False, True])
def test_a_radiographs_finding_is_recovered(found, tmp_path, is_monochrome1):
    """A DX object of another size, stored either way round, is read by the contract."""
    truth = radiograph.write(tmp_path, finding="nodule", is_monochrome1=is_monochrome1)
    said = found(serving.NAME, truth.written.files)
    present = [one.name.meaning for one in said if isinstance(one, Verdict) and one.is_present]
    in_set = [one.name.meaning for one in said if isinstance(one, Verdict) and one.in_set]
    assert present == in_set == ["Nodule"]
    (heat,) = (one for one in said if isinstance(one, Heatmap))
    peak = np.array(np.unravel_index(heat.values[0].argmax(), heat.values[0].shape)) + 0.5
    assert np.hypot(*(peak - truth.place)) * FIELD_OF_VIEW_MM / 512 < truth.diameter_mm / 2 + 11
    assert sorted(len(one.vector) for one in said if isinstance(one, Embedding)) == [5, 64]


def test_the_file_is_the_cards_own(figures):
    """The card and the figures name the committed file by its digest; it is small."""
    served = FOLDER / "1" / "model.onnx"
    digest = hashlib.sha256(served.read_bytes()).hexdigest()
    assert figures["sha256"] == digest
    assert digest in (FOLDER / "card.md").read_text()
    assert served.stat().st_size < 1_000_000
    assert "Not for clinical use" in (FOLDER / "card.md").read_text()


def test_the_contract_states_this_trainings_figures(figures):
    """config.pbtxt is what training writes: the conformal threshold is that of the calibration."""
    fields = {name: figures[name] for name in figures if name not in {"sha256", "metrics"}}
    found = serving.Trained(metrics=metrics.Metrics(**figures["metrics"]), **fields)
    assert (FOLDER / "config.pbtxt").read_text() == serving.config(found)
