"""A model's contract is read from its parameters, and a broken one is named."""

from dataclasses import replace

import pytest

from ai import declared
from ai.contract import InputKind, Orientation, OutputKind, Tensor
from config.models import Model
from dicom.errors import BadAnswer

SETTINGS = Model(endpoints=("127.0.0.1:1",), model="ct_emphysema")


def test_a_contract_is_read_from_parameters(served):
    """What config.pbtxt states is what the contract holds."""
    contract = declared.read(served, SETTINGS)
    assert contract.wants.modality == "CT"
    assert contract.wants.orientation is Orientation.AXIAL
    assert (contract.wants.min_slices, contract.wants.max_spacing_mm) == (20, 5)
    assert [tensor.kind for tensor in contract.inputs] == [InputKind.VOLUME, InputKind.SPACING]
    percent, refusal = contract.outputs
    assert percent.quantity.unit.value == "%"
    assert percent.quantity.site.meaning == "Lung"
    assert refusal.kind is OutputKind.REFUSAL


def test_the_config_overrides_what_a_series_must_be(served):
    """Keys of [models.NAME] win over the model's own parameters."""
    table = Model(endpoints=("h:1",), model="m", min_slices=99, max_spacing_mm=1.5)
    wants = declared.read(served, table).wants
    assert (wants.min_slices, wants.max_spacing_mm) == (99, 1.5)


MEASURED = "penumbra.output.laa950_percent"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("penumbra.algorithm", None, "penumbra.algorithm: missing"),
        ("penumbra.wants.modality", None, "penumbra.wants.modality: missing"),
        ("penumbra.wants.orientation", "diagonal", "one of axial, any"),
        ("penumbra.wants.min_slices", "many", "not a number"),
        ("penumbra.input.volume", "hologram", "one of volume, spacing"),
        ("penumbra.input.volume", "spacing", r"declared INT16 \[-1, -1, -1\], its kind needs FP32"),
        ("penumbra.input.spacing", None, "penumbra.input.spacing: must be one of"),
        ("penumbra.procedure", '{"value": "1"}', "value, scheme and meaning"),
        ("penumbra.procedure", '{"value": "", "scheme": "LN", "meaning": "x"}', "value, scheme"),
        (MEASURED, None, f"{MEASURED}: missing"),
        (MEASURED, "a number", "not JSON"),
        (MEASURED, "[]", "not a JSON object"),
        (MEASURED, '{"kind": "poem"}', "kind must be one of measurement, refusal"),
        (MEASURED, '{"kind": "measurement"}', "needs name and unit"),
        (MEASURED, '{"kind": "refusal"}', r"its kind needs BYTES"),
    ],
)
def test_a_broken_contract_is_named(served, key, value, words):
    """A parameter that is missing or wrong is a BadAnswer that names it."""
    parameters = {name: text for name, text in served.parameters.items() if name != key}
    if value is not None:
        parameters[key] = value
    with pytest.raises(BadAnswer, match=words):
        declared.read(replace(served, parameters=parameters), SETTINGS)


def test_tensors_that_do_not_fit_are_named(served):
    """A batching model, or a volume of another type or rank, is refused before any call."""
    with pytest.raises(BadAnswer, match="max_batch_size: 0"):
        declared.read(replace(served, max_batch_size=8), SETTINGS)
    flat = (Tensor("volume", "INT16", (-1, -1)), *served.inputs[1:])
    with pytest.raises(BadAnswer, match="tensor volume is declared"):
        declared.read(replace(served, inputs=flat), SETTINGS)
