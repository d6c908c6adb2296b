"""Brain extraction of a head MR: the converted network on the real Triton, and its parity."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnx.utils
import onnxruntime
import pytest

from ai.conversion import deepbrain
from ai.phantoms import head
from dicom.errors import Unsuitable

FIXTURE = Path(__file__).with_name("deepbrain_parity.npz")
SPACING = np.full(3, 1.7, dtype=np.float32)
ECHO = np.array([3], dtype=np.float32)


@pytest.fixture(scope="module")
def session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(deepbrain.MODEL, options)


def test_the_phantoms_truth_is_recovered(find, tmp_path):
    """Dice of at least 0.95 with the drawn brain, its volume within 5 %."""
    truth = head.write(tmp_path)
    found = find("mr_brain", truth.written.files)
    mask = found.labels["brain"] == 1
    dice = 2 * (mask & truth.brain).sum() / (mask.sum() + truth.brain.sum())
    assert dice >= 0.95
    assert found.numbers["brain_volume_ml"] == pytest.approx(truth.brain_ml, rel=0.05)


def test_images_without_a_head_are_refused(find, tmp_path):
    """Of noise alone the network makes no brain, and the report says so."""
    truth = head.write(tmp_path, slices=100, size=96, empty=True)
    with pytest.raises(Unsuitable, match="no brain was found"):
        find("mr_brain", truth.written.files)


@pytest.fixture(scope="module")
def judge():
    """What the file says of a mask: all of it that stands behind the network."""
    given, wanted = ["brain", "spacing", "echo_time_ms"], ["brain_volume_ml", "refusal"]
    part = onnx.utils.Extractor(onnx.load(deepbrain.MODEL)).extract_model(given, wanted)
    session = onnxruntime.InferenceSession(part.SerializeToString())
    half = deepbrain.SIZE // 2
    z, y, x = np.indices((deepbrain.SIZE,) * 3) - half

    def judge(radius, shift, echo_ms):
        ball = ((z + shift) ** 2 + y**2 + x**2 <= radius**2).astype(np.float32)
        echo = np.array([echo_ms], dtype=np.float32)
        volume_ml, refusal = session.run(None, dict(zip(given, (ball, SPACING, echo), strict=True)))
        assert volume_ml[0] == pytest.approx(ball.sum() * 1.7**3 / 1000, rel=1e-4)
        return refusal[0]

    return judge


@pytest.mark.parametrize(
    ("radius", "shift", "echo_ms", "words"),
    [
        (40, 0, 3, ""),
        (40, 0, 90, "not T1-weighted"),
        (20, 0, 3, "no brain was found"),
        (60, 0, 3, "this is no brain"),
        (45, 40, 3, "cut off"),
    ],
    ids=["good", "T2", "small", "giant", "cut off"],
)
def test_what_the_network_was_not_made_for_is_refused(judge, radius, shift, echo_ms, words):
    """Another weighting, an impossible volume and a brain at the edge end in words."""
    found = judge(radius, shift, echo_ms)
    assert words in found
    assert bool(words) == bool(found)


def test_the_conversion_computes_what_the_original_does(session):
    """On the probe the file agrees with the original graph, run in numpy, to 1e-5."""
    kept = np.load(FIXTURE)["probability"]
    assert 0.05 < (kept > 0.5).mean() < 0.5  # the probe holds a brain
    given = {"volume": 731 * deepbrain.probe(), "spacing": SPACING, "echo_time_ms": ECHO}
    brain, volume_ml, refusal = session.run(None, given)
    step = deepbrain.STRIDE
    assert np.abs(brain[::step, ::step, ::step] - kept).max() < 1e-5
    assert refusal.tolist() == [""]
    assert volume_ml[0] == pytest.approx((brain > 0.5).sum() * 1.7**3 / 1000, rel=1e-5)


def test_the_file_says_where_it_comes_from():
    """Licence and digests lie beside the file, and in it."""
    folder = deepbrain.MODEL.parents[1]
    digest = hashlib.sha256(deepbrain.MODEL.read_bytes()).hexdigest()
    provenance = (folder / "PROVENANCE.md").read_text()
    for stated in (digest, deepbrain.SDIST_SHA256, deepbrain.GRAPH_SHA256):
        assert stated in provenance
    assert "Copyright (c) 2018 Ivan Itzcovich" in (folder / "LICENSE").read_text()
    facts = {one.key: one.value for one in onnx.load(deepbrain.MODEL).metadata_props}
    assert deepbrain.GRAPH_SHA256 in facts["source"]


def test_another_file_is_not_converted(tmp_path):
    """The source distribution is known by its digest."""
    (tmp_path / "deepbrain-0.1.tar.gz").write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not deepbrain"):
        deepbrain.unpack(tmp_path / "deepbrain-0.1.tar.gz")
