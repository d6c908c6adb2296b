"""What a check of a model warns of."""

from dataclasses import replace

import pytest

from ai.checkup import Checked, warnings
from config.models import Model


@pytest.fixture
def checked(served, contract):
    """What endpoints said, each with its version."""

    def make(*versions, of=contract):
        return [
            Checked(f"h{n}:1", "live", "", replace(served, version=version), of)
            for n, version in enumerate(versions)
        ]

    return make


def model(*endpoints):
    return Model(endpoints=endpoints, model="m")


def test_a_sound_model_has_no_warnings(checked):
    """Two endpoints with one version and limits for each number: nothing to say."""
    assert warnings(model("h0:1", "h1:1"), checked("1", "1")) == []


def test_endpoints_that_differ_are_told(checked):
    """While one server has the newer version, the other is of no use."""
    (said,) = warnings(model("h0:1", "h1:1"), checked("1", "2"))
    assert said.startswith("the endpoints serve versions 1, 2 as live")


def test_a_number_without_limits_is_told(checked, contract):
    """A measurement that may be anything is reported whatever it is."""
    percent, refusal = contract.outputs
    quantity = replace(percent.quantity, low=float("-inf"), high=float("inf"))
    free = replace(contract, outputs=(replace(percent, quantity=quantity), refusal))
    (said,) = warnings(model("h0:1", "h1:1"), checked("1", "1", of=free))
    assert said.startswith("output laa950_percent has no low and high")


def test_a_modality_that_nobody_has_is_told(checked, contract):
    """No Series would ever be asked about, and nothing would say so."""
    strange = replace(contract, wants=replace(contract.wants, modality="XR"))
    (said,) = warnings(model("h0:1", "h1:1"), checked("1", "1", of=strange))
    assert "wants.modality is XR" in said


def test_one_endpoint_is_told(checked, contract):
    """Nobody else is there to ask; and who cannot refuse needs strict rules."""
    silent = replace(contract, outputs=contract.outputs[:1])
    refusal, endpoint = warnings(model("h0:1"), checked("1", of=silent))
    assert "no output is a refusal" in refusal
    assert "one endpoint" in endpoint
