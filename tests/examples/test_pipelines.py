"""The pipelines of the specialties fit the models that are there, and compare what is said."""

import pytest
from pydicom.dataset import Dataset

from ai import server
from config.load import load
from examples.peers.node import write_config
from examples.pipelines import answers
from examples.pipelines.__main__ import PEERS, main
from examples.pipelines.specialty import Number, Verdict, tables
from examples.pipelines.table import SPECIALTIES


class _Pacs:
    aet, host, port = "PACS", "127.0.0.1", 104


def test_the_nodes_config_holds_every_specialty(tmp_path):
    """All specialties together make a valid config, and their models exist."""
    chosen = tuple(SPECIALTIES.values())
    path = write_config(tmp_path, PEERS.format(pacs=_Pacs) + tables(chosen, "127.0.0.1:1"), 1, 2)
    config = load(path)
    assert [rule.name for rule in config.rules] == list(SPECIALTIES)
    for model in config.models.values():
        assert (server.REFERENCE_REPOSITORY / model.model / "config.pbtxt").is_file()


@pytest.mark.parametrize("given", [[], ["heart"], ["neuro", "heart"]])
def test_the_specialties_are_told(given, capsys):
    """Who names none, or one that there is not, reads which there are, and nothing starts."""
    with pytest.raises(SystemExit) as over:
        main(given)
    assert over.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in SPECIALTIES)
    assert "[]" not in said


def _code(value):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "99TEST", "x"
    return item


def _item(kind, name, **values):
    item = Dataset()
    item.ValueType, item.ConceptNameCodeSequence = kind, [_code(name)]
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _number(name, value):
    measured = Dataset()
    measured.NumericValue = value
    return _item("NUM", name, MeasuredValueSequence=[measured])


def test_a_segments_number_is_not_the_models():
    """A number in a group about one finding is kept apart from the model's own of that name."""
    own = _item("CONTAINER", "g", ContentSequence=[_number("V", 5)])
    finding = _item("CODE", answers.FINDING, ConceptCodeSequence=[_code("LUNG")])
    segment = _item("CONTAINER", "g", ContentSequence=[_number("V", 3), finding])
    verdict = _item("CODE", "PASS", ConceptCodeSequence=[_code(answers.ABSENT)])
    said = answers.read([_item("CONTAINER", "r", ContentSequence=[own, segment, verdict])])
    assert said.numbers == {"V": 5, "V@LUNG": 3}
    assert said.verdicts == {"PASS": False}


@pytest.mark.parametrize(
    ("expected", "ok"),
    [
        (Number("V", "v", 5.4, 0.5), True),
        (Number("V", "v", 5.6, 0.5), False),
        (Number("V", "v", 5.2, 5, is_percent=True), True),
        (Number("W", "w", 5, 5), False),
        (Verdict("PASS", "p", truth=True), True),
        (Verdict("PASS", "p", truth=False), False),
        (Verdict("FAIL", "f", truth=False), False),
    ],
)
def test_what_is_missing_or_too_far_off_is_short(expected, ok):
    """Tolerances are in the unit or in percent; silence is no agreement."""
    said = answers.Said({"V": 5.0}, {"PASS": True})
    (row,) = answers.compare([expected], said)
    assert row.ok is ok
