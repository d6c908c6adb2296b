"""A model's contract is read from its parameters and node.toml, and a broken one is named."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ai import declared
from ai.contract import Contract, Contrast, InputKind, Normalise, Orientation, OutputKind, Served
from config import contracts
from config.load import load
from config.models import Model
from dicom.errors import BadAnswer

SETTINGS = Model(endpoints=("127.0.0.1:1",), model="ct_emphysema")
NODULE = {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"}
MEASURED = "penumbra.output.laa950_percent"


def toml(**keys):
    """Settings with further keys of [models.NAME]."""
    return Model.model_validate({"endpoints": ("h:1",), "model": "m", **keys})


def stated(served, **parameters):
    """The same model with other parameters; None takes one away. "__" stands for the dot."""
    changed = {name.replace("__", "."): text for name, text in parameters.items()}
    merged = {**served.parameters, **{f"penumbra.{name}": text for name, text in changed.items()}}
    return replace(
        served, parameters={key: text for key, text in merged.items() if text is not None}
    )


def test_a_contract_is_read_from_parameters(served):
    """What config.pbtxt states is what the contract holds."""
    contract = declared.read(served, SETTINGS)
    assert contract.wants.modality == "CT"
    assert contract.wants.orientation is Orientation.AXIAL
    assert (contract.wants.min_slices, contract.wants.max_spacing_mm) == (20, 5)
    assert [tensor.kind for tensor in contract.inputs] == [InputKind.VOLUME, InputKind.SPACING]
    assert contract.inputs[0].preparation.layout == "zyx"
    percent, refusal = contract.outputs
    assert percent.quantity.unit.value == "%"
    assert percent.quantity.site.meaning == "Lung"
    assert refusal.kind is OutputKind.REFUSAL


def test_every_field_of_a_contract_can_be_stated(served):
    """Each wish, each step of preparation and each word about trust has a parameter."""
    found = declared.read(
        stated(
            served,
            settings="threshold 0.5",
            wants__orientation="any",
            wants__min_thickness_mm="0.5",
            wants__max_thickness_mm="3",
            wants__contrast="none",
            wants__kvp="[119, 121]",
            wants__body_parts="CHEST",
            wants__views='["CC", "MLO"]',
            input__volume='{"kind": "volume", "spacing_mm": [2, 0, 0], "size": [0, 0, 0],'
            ' "fit": "stretch", "window": [-1000, 400], "normalise": "none", "layout": "yxz"}',
            trust='{"augment": ["flip-x", "flip-z"], "interval": {"laa950_percent": 1.5},'
            ' "coverage": 0.95}',
        ),
        SETTINGS,
    )
    wants, how = found.wants, found.inputs[0].preparation
    assert found.settings == "threshold 0.5"
    assert (wants.min_thickness_mm, wants.max_thickness_mm, wants.kvp) == (0.5, 3, (119, 121))
    assert (wants.contrast, wants.body_parts, wants.views) == (
        Contrast.NONE,
        ("CHEST",),
        ("CC", "MLO"),
    )
    assert (how.spacing_mm, how.size, how.fit) == ((2, 0, 0), (0, 0, 0), "stretch")
    assert (how.window, how.normalise, how.layout) == ((-1000, 400), Normalise.NONE, "yxz")
    assert found.trust.augment == ("flip-x", "flip-z")
    assert (found.trust.interval, found.trust.coverage) == ({"laa950_percent": 1.5}, 0.95)


def test_the_config_overrides_what_a_series_must_be(served):
    """Keys of [models.NAME] win over the model's own parameters, field by field."""
    wants = declared.read(served, toml(min_slices=99, max_spacing_mm=1.5)).wants
    assert (wants.min_slices, wants.max_spacing_mm, wants.modality) == (99, 1.5, "CT")
    wants = declared.read(served, toml(wants={"min_slices": 7, "modality": "PT"})).wants
    assert (wants.min_slices, wants.max_spacing_mm, wants.modality) == (7, 5, "PT")


def test_the_config_overrides_an_output_field_by_field(served):
    """A limit that node.toml changes leaves the code, the unit and the site as they were."""
    table = toml(
        algorithm="Ours", outputs={"laa950_percent": {"high": 60.0}}, trust={"coverage": 0.8}
    )
    contract = declared.read(served, table)
    percent = contract.outputs[0].quantity
    assert (percent.low, percent.high, percent.unit.value) == (0, 60, "%")
    assert (contract.algorithm, contract.trust.coverage) == ("Ours", 0.8)


def test_a_loaded_config_overrides_no_more_than_it_says(served, tmp_path):
    """What a config file leaves out is not laid over the model's own words as nothing."""
    (tmp_path / "node.toml").write_text(
        '[models.m]\nendpoints = ["h:1"]\nmodel = "m"\ninputs.volume = { window = [-1, 1] }\n'
        "outputs.laa950_percent = { decimals = 0 }\nwants.contrast = 'none'\n"
    )
    contract = declared.read(served, load(tmp_path / "node.toml").models["m"])
    assert contract.inputs[0].kind is InputKind.VOLUME
    assert contract.inputs[0].preparation.window == (-1, 1)
    assert (contract.outputs[0].quantity.decimals, contract.outputs[0].quantity.high) == (0, 100)
    assert (contract.wants.contrast, contract.wants.modality) == (Contrast.NONE, "CT")


def test_another_kind_in_the_config_replaces_what_the_model_says(served):
    """Of an output whose kind node.toml changes, nothing that belonged to the old one stays."""
    (first, _) = declared.read(
        served, toml(outputs={"laa950_percent": {"kind": "embedding"}})
    ).outputs
    assert (first.kind, first.quantity) == (OutputKind.EMBEDDING, None)


def test_a_server_without_parameters_has_its_contract_in_the_config(served):
    """All of a contract can stand in node.toml: MLServer knows nothing of config.pbtxt."""
    coded = {"value": "LAA950", "scheme": "99PENUMBRA", "meaning": "Low attenuation"}
    table = toml(
        algorithm="Emphysema",
        algorithm_version="2",
        settings="950 HU",
        procedure={"value": "25045-6", "scheme": "LN", "meaning": "CT"},
        wants={"modality": "CT"},
        inputs={"volume": {"kind": "volume"}, "spacing": {"kind": "spacing"}},
        outputs={
            "laa950_percent": {
                "kind": "measurement",
                "name": coded,
                "unit": {"value": "%", "scheme": "UCUM", "meaning": "Percent"},
            },
            "refusal": {"kind": "refusal"},
        },
    )
    contract = declared.read(replace(served, parameters={}), table)
    assert contract.outputs[0].quantity.name.value == "LAA950"
    assert (contract.settings, contract.wants.min_slices) == ("950 HU", 2)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("algorithm", None, r"penumbra.algorithm: missing: write it in config.pbtxt.*models.NAME"),
        ("algorithm_version", None, "penumbra.algorithm_version: missing"),
        ("algorithm", "x" * 65, "64 characters at most"),
        ("algorithm", "a\x1b[2J", "must be printable text"),
        ("settings", "a\nb", "one line of 1024"),
        ("procedure", None, "penumbra.procedure: missing"),
        ("procedure", "[]", "not a JSON object"),
        ("procedure", '{"value": "1"}', "scheme is missing; meaning is missing"),
        ("procedure", '{"value": "", "scheme": "LN", "meaning": "x"}', "value must be printable"),
        ("procedure", '{"value": "1", "scheme": "SNOMED", "meaning": "x"}', "nobody knows"),
        ("wants.modality", None, "penumbra.wants.modality: missing"),
        ("wants.orientation", "diagonal", "must be 'axial', 'sagittal', 'coronal' or 'any'"),
        ("wants.min_slices", "many", "must be a whole number"),
        ("wants.min_slices", "0", "must be at least 1"),
        ("wants.max_spacing_mm", "{", "not JSON"),
        ("wants.kvp", "[121, 119]", "lowest and the highest"),
        ("wants.modality", "ct", "made of capital letters"),
        ("wants.views", '["PA", "ap"]', "made of capital letters"),
        ("wants.body_parts", "Chest", "made of capital letters"),
        ("wants.modalty", "CT", "no known parameter; did you mean 'modality'"),
        ("want.modality", "CT", "no known parameter"),
        ("input.volume", "hologram", "kind must be 'volume', 'slices'"),
        ("input.volume", "spacing", "0 inputs are images; exactly one must be one of volume"),
        ("input.spacing", "volume", r"tensor spacing is declared FP32 \[3\], its kind needs FP32"),
        ("input.spacing", None, "penumbra.input.spacing: must be one of volume, slices"),
        ("input.spacing", "attribute", "needs keyword, such as"),
        ("input.spacing", '{"kind": "attribute", "keyword": "PatientName"}', "numeric attribute"),
        ("input.typo", "volume", "no input tensor of this name; it has spacing, volume"),
        ("output.typo", "refusal", "no output tensor of this name; it has laa950_percent"),
        ("output.laa950_percent", None, "missing: write it in config.pbtxt"),
        ("output.laa950_percent", "a number", "not JSON"),
        ("output.laa950_percent", "[]", "not a JSON object"),
        ("output.laa950_percent", "[" * 100_000, "not JSON"),
        ("output.laa950_percent", '{"kind": "poem"}', "kind must be 'measurement'"),
        ("output.laa950_percent", '{"kind": "measurement"}', "needs name and unit"),
        ("output.laa950_percent", '{"kind": "refusal"}', r"its kind needs BYTES \[1\]"),
        ("output.laa950_percent", '{"kind": "mask"}', "needs classes"),
        ("output.laa950_percent", '{"kind": "heatmap"}', "needs title"),
        ("output.laa950_percent", '{"kind": "text", "low": 1}', "low says nothing about text"),
        ("output.laa950_percent", '{"kind": "text", "hihg": 1}', "did you mean 'high'"),
        ("output.laa950_percent", '{"low": 2, "high": 1}', "low is more than high"),
        ("trust", '{"interval": {"refusal": 1}}', "interval names an output that is no measure"),
        ("trust", '{"conformal": {"x": 1}}', "conformal names an output that is no classific"),
        ("trust", '{"augment": ["rotate"]}', r"augment\[0\] must be 'flip-x'"),
        ("trust", '{"coverage": 1}', "coverage must be less than 1"),
    ],
)
def test_a_broken_contract_is_named(served, key, value, words):
    """A parameter that is missing or wrong is a BadAnswer that names model and parameter."""
    with pytest.raises(BadAnswer, match=words) as caught:
        declared.read(stated(served, **{key: value}), SETTINGS)
    assert str(caught.value).startswith("model ct_emphysema: parameter penumbra.")


def test_a_unit_is_one_of_ucum(served):
    """A measurement in a unit that nobody knows is told before anything is measured."""
    row = json.loads(served.parameters[MEASURED])
    row["unit"] = {"value": "percents", "scheme": "UCUM", "meaning": "x"}
    with pytest.raises(BadAnswer, match="unit is no unit of UCUM"):
        declared.read(stated(served, **{"output.laa950_percent": json.dumps(row)}), SETTINGS)


def test_what_two_tables_say_together_is_judged(served):
    """What only the change by node.toml makes wrong is told as its fault."""
    with pytest.raises(BadAnswer, match=r"as node.toml changes it: low is more than high"):
        declared.read(served, toml(outputs={"laa950_percent": {"low": 200.0}}))
    with pytest.raises(BadAnswer, match="no output tensor of this name"):
        declared.read(served, toml(outputs={"laa": {"low": 200.0}}))


@pytest.mark.parametrize(
    "keys",
    [
        {"wants": {"min_slices": 0}},
        {"wants": {"kvp": (2.0, 1.0)}},
        {"wants": {"min_slices": 3}, "min_slices": 3},
        {"inputs": {"x": {"kind": "volume", "layout": "nyx"}}},
        {"inputs": {"x": {"layout": "zyxq"}}},
        {"inputs": {"x": {"layout": "nzyx"}}},
        {"inputs": {"x": {"layout": "zz"}}},
        {"inputs": {"x": {"kind": "images", "size": (1, 2, 3)}}},
        {"inputs": {"x": {"kind": "spacing", "window": (0.0, 1.0)}}},
        {"inputs": {"x": {"window": (1.0, 1.0)}}},
        {"outputs": {"x": {"kind": "boxes", "classes": ({"name": NODULE}, {"name": NODULE})}}},
        {"outputs": {"x": {"kind": "classification", "aggregate": "sum"}}},
        {"outputs": {"x": {"kind": "points", "classes": ({"name": NODULE, "category": NODULE},)}}},
        {"outputs": {"x": {"unit": {"value": "mm", "scheme": "SCT", "meaning": "x"}}}},
        {"procedure": {"value": "x" * 17, "scheme": "99X", "meaning": "x"}},
        {"algorithm": " "},
    ],
)
def test_the_config_is_judged_when_it_is_loaded(keys):
    """What no model could make right is a fault of node.toml, before any server is asked."""
    with pytest.raises(ValidationError):
        toml(**keys)


def test_config_and_contract_know_the_same_kinds():
    """The kinds that node.toml may name are those that a contract holds."""
    assert set(contracts.InputName.__args__) == set(InputKind)
    assert set(contracts.OutputName.__args__) == set(OutputKind)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["volume", "slices", "tiles", "mask", "measurement", "boxes", "mean", "1czyx"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*contracts.Output.model_fields, *contracts.Input.model_fields])
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_parameters_give_a_contract_or_a_bad_answer(served, data):
    """Whatever JSON or text stands in parameters, nothing but BadAnswer is raised."""
    text = JSON.map(json.dumps) | st.text(max_size=12)
    keys = st.sampled_from(sorted(served.parameters)) | st.sampled_from(
        ["penumbra.trust", "penumbra.wants.kvp", "penumbra.wants.views", "penumbra.", "other"]
    )
    changes = data.draw(st.dictionaries(keys, text, min_size=1, max_size=3))
    model: Served = replace(served, parameters={**served.parameters, **changes})
    try:
        assert isinstance(declared.read(model, SETTINGS), Contract)
    except BadAnswer as fault:
        words = str(fault)
        assert words.isprintable()
