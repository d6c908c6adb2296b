"""What node.toml says of a model's contract is judged when the file is loaded, with its path."""

import pytest

from config import contracts
from config.load import load
from dicom.errors import ConfigFault

MODEL = '[models.lung]\nendpoints = ["127.0.0.1:1"]\nmodel = "lung"\n'
CODE = '{ value = "27925004", scheme = "SCT", meaning = "Nodule" }'


def loaded(tmp_path, text):
    (tmp_path / "node.toml").write_text(MODEL + text)
    return load(tmp_path / "node.toml").models["lung"]


def test_a_whole_contract_loads(tmp_path):
    """Every part of a contract can stand in the file, and says no more than it says."""
    model = loaded(
        tmp_path,
        f"""
        algorithm = "Lung"
        algorithm_version = "1"
        settings = "threshold 0.5"
        procedure = {CODE}
        [models.lung.wants]
        modality = "CT"
        kvp = [100, 140]
        body_parts = "CHEST"
        [models.lung.inputs.image]
        kind = "volume"
        layout = "1czyx"
        window = [-1000, 400]
        [models.lung.outputs.nodules]
        kind = "boxes"
        classes = [{{ name = {CODE}, threshold = 0.4 }}]
        [models.lung.trust]
        augment = ["flip-x"]
        """,
    )
    assert model.wants.body_parts == ("CHEST",)
    assert contracts.row(model.inputs["image"]) == {
        "kind": "volume",
        "layout": "1czyx",
        "window": [-1000, 400],
    }
    assert model.outputs["nodules"].classes[0].threshold == 0.4
    assert contracts.row(model.trust) == {"augment": ["flip-x"]}
    assert contracts.row(None) == {}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (
            "wants = { kvp = [140, 100] }",
            "wants",
            "the lowest and the highest value, in this order",
        ),
        ("wants = { modalty = 'CT' }", "wants.modalty", "did you mean 'modality'"),
        ("wants = { min_slices = 0 }", "wants.min_slices", "must be at least 1"),
        ("wants = { contrast = 'no' }", "wants.contrast", "must be 'any', 'none' or 'required'"),
        ("wants = { min_slices = 3 }\nmin_slices = 4", "", "min_slices is given twice"),
        ("procedure = { value = '1', scheme = '99X' }", "procedure.meaning", "is missing"),
        (
            "procedure = { value = 'x', scheme = 'SNOMED', meaning = 'm' }",
            "procedure",
            "nobody knows",
        ),
        ("inputs.x = { kind = 'cube' }", "inputs.x.kind", "must be 'volume', 'slices'"),
        ("inputs.x = { layout = 'zy' }", "inputs.x.layout", "needs y and x, and either z"),
        ("inputs.x = { layout = 'zyxx' }", "inputs.x.layout", "each once at most"),
        ("inputs.x = { size = [1] }", "inputs.x.size", "needs 2 or more values"),
        ("inputs.x = { size = [1, 2, 3, 4] }", "inputs.x.size", "takes 3 values at most"),
        (
            "inputs.x = { kind = 'slices', layout = 'zyx' }",
            "inputs.x",
            "needs the axis n for slices",
        ),
        ("inputs.x = { kind = 'attribute', batch = 2 }", "inputs.x", "batch says nothing about"),
        ("inputs.x = { keyword = 'PatientID' }", "inputs.x.keyword", "of a numeric attribute"),
        ("outputs.x = { kind = 'mask', low = 1 }", "outputs.x", "low says nothing about mask"),
        ("outputs.x = { low = 'a' }", "outputs.x.low", "must be a number"),
        ("outputs.x = { decimals = 1.5 }", "outputs.x.decimals", "must be a whole number"),
        (f"outputs.x = {{ unit = {CODE} }}", "outputs.x", 'unit needs the scheme "UCUM"'),
        ("outputs.x = { classes = [] }", "outputs.x.classes", "needs 1 or more values"),
        ("trust = { coverage = 1 }", "trust.coverage", "must be less than 1"),
        ("trust = { augment = ['turn'] }", "trust.augment[0]", "must be 'flip-x'"),
        ("trust = { interval = { a = -1 } }", "trust.interval.a", "must be at least 0"),
        (f'algorithm = "{"x" * 65}"', "algorithm", "takes 64 characters at most"),
        ('settings = "\\u0007"', "settings", "must be printable text"),
    ],
)
def test_a_fault_of_a_contract_is_told_with_its_path(tmp_path, text, place, words):
    """`penumbra check` tells what no model could make right, and where it stands."""
    with pytest.raises(ConfigFault) as caught:
        loaded(tmp_path, text)
    ((path, said),) = caught.value.problems
    assert path == ("models.lung." + place).rstrip(".")
    assert words in said


def test_each_fault_of_a_table_is_told_at_once():
    """A table that is wrong in two ways has two faults."""
    with pytest.raises(ConfigFault) as caught:
        contracts.stated(contracts.Wants, {"min_slices": 0, "kvp": "a"})
    assert [path for path, _ in caught.value.problems] == ["min_slices", "kvp"]
    with pytest.raises(ConfigFault):
        contracts.stated(contracts.Wants, ["no table"])
