"""An expression is checked when it is loaded, and answers or says that it cannot."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.conditions import Undecided
from config.expressions import Expression, compile_expression

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
SECTION = PAGE.split("### What `expr` can ask")[1].split("\n### ")[0]
EXAMPLES = re.findall(r"^\| [^|]+ \| [^|]+ \| `([^`]+)` \|$", SECTION, re.MULTILINE)

CT = {
    "Modality": ["CT"], "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "Rows": ["512"],
    "SliceThickness": ["1.50 "], "PixelSpacing": ["0.7", "0.7"],
    "SeriesDescription": ["LUNG 1.0"], "StudyDate": ["20260105"], "SeriesDate": ["20260105"],
    "PatientName": ["Quillobert^Zyx"], "calling_ae": ["CT1"], "time": ["23:10"],
    "weekday": ["tue"], "NumberOfFrames": ["9" * 400], "Columns": ["wide"],
}  # fmt: skip


def of_ct(keyword: str) -> list[str]:
    return CT.get(keyword, [])


def of_nothing(_: str) -> list[str]:
    return []


def answer(expression: Expression, values: list[str]) -> str:
    """Ask an expression about a Series with these values everywhere; write down what it says."""
    try:
        return str(expression.holds(lambda _: values))
    except Undecided as fault:
        return str(fault)


def test_the_page_has_examples():
    """The table of the page is read."""
    assert len(EXAMPLES) >= 7


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_of_the_page(text):
    """Each example of docs/configuration.md is true of a fitting Series, not of an empty one."""
    expression = compile_expression(text)
    assert expression.holds(of_ct) is True
    assert expression.holds(of_nothing) is False


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("SliceThickness == 1.5 && SliceThickness <= 2", True),
        ("Rows == 512.0 && Rows > 511.5", True),
        ("Rows == null", False),
        ("SliceLocation == null", True),
        ("Columns == null", True),
        ("NumberOfFrames == null", True),
        ('Rows == "512"', False),
        ('BodyPartExamined == ""', True),
        ('calling_ae.startsWith("CT") && time >= "22:00"', True),
        ('Modality == "MR" || ImageType[2] == "AXIAL"', True),
        ("ImageType.exists(type, type.startsWith('AX'))", True),
        ("SliceLocation > 3 || true", True),
        ("SliceLocation > 3 && false", False),
    ],
)
def test_what_it_says(text, holds):
    """Numbers are numbers or null, text is text or empty, several values are a list."""
    assert compile_expression(text).holds(of_ct) is holds


@pytest.mark.p6
@pytest.mark.parametrize(
    "text",
    [
        "SliceLocation > 3",
        'ImageType[5] == "X"',
        "Rows / 0 == 1",
        'timestamp(PatientName) < timestamp("2026-01-01T00:00:00Z")',
        "int(PatientName) > 3",
        'SeriesDescription.matches("(")',
        'SliceThickness > "a"',
    ],
)
def test_what_it_cannot_say(text):
    """An error is no answer; its message holds nothing of the patient."""
    with pytest.raises(Undecided) as caught:
        compile_expression(text).holds(of_ct)
    assert caught.value.detail
    assert not re.search("Quillobert|Zyx|LUNG|512|CT", str(caught.value))


def test_text_that_is_no_unicode_is_no_bug():
    """What cannot be given to CEL at all is undecided."""
    with pytest.raises(Undecided):
        compile_expression('PatientName == "x"').holds(lambda _: ["\udcff"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Modality == 3", "column 10: == cannot be applied to (string, int)"),
        ('Modality ==\n "CT" &&\n  Foo', "line 3, column 3: 'Foo' is no DICOM keyword"),
        ('Modalty == "CT"', "no DICOM keyword and no function of CEL; did you mean 'Modality'?"),
        ('PixelData == "x"', "column 1: 'PixelData' has no text to compare"),
        ("ImageType == 'AXIAL'", "column 11: == cannot be applied to (list(string), string)"),
        ("1 +", "column 4: Syntax error"),
        ("Modality", "gives text, not true or false"),
        ("Rows", "gives a number, not true or false"),
        ("ImageType", "gives a list, not true or false"),
        ("1", "gives INT, not true or false"),
        ("(" * 500 + ")" * 500, "recursion limit"),
    ],
)  # fmt: skip
def test_mistakes_are_found_when_it_is_loaded(text, words):
    """Spelling, grammar and types are told with line and column, before any Series comes."""
    with pytest.raises(ValueError, match=re.escape(words)):
        compile_expression(text)


TOKENS = st.sampled_from([
    "Modality", "Rows", "ImageType", "SliceThickness", "PixelSpacing", "==", "!=", "<", ">=",
    "&&", "||", "!", "(", ")", "[", "]", "{", "}", ",", ".", "?", ":", "+", "-", "/", '"CT"', "1",
    "2.5", "null", "true", "in", "size(", "matches(", "exists(", "x", "9223372036854775807",
    "99999999999999999999", "1u", 'b"\\xff"', "duration(", "google.protobuf.Struct{}", "\n",
    "\\", ";", "@", "é", "\0",
])  # fmt: skip
UNSPEAKABLE = "expr cannot be evaluated (RuntimeError)"
"""What is said of text that is no Unicode."""
VALUES = st.lists(st.text() | st.sampled_from(["1", "9" * 500, "-1e400", "nan"]), max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(TOKENS, max_size=12).map(" ".join) | st.text(max_size=60), VALUES)
def test_any_text_is_an_expression_or_a_mistake(text, values):
    """Whatever stands in a config file compiles or is told, and then answers or is undecided."""
    words, expression = "", None
    try:
        expression = compile_expression(text)
    except ValueError as fault:
        words = str(fault)
    assert answer(expression, values) if expression else words


@settings(deadline=None)
@given(VALUES)
def test_any_values_are_answered(values):
    """Whatever a sender writes into an attribute, an expression answers or says that it cannot."""
    expression = compile_expression(
        "(Rows != null && Rows > 3) || (SliceThickness != null && SliceThickness < 2.5)"
        ' || PixelSpacing.exists(mm, mm > 1) || SeriesDescription.contains("x")'
    )
    assert answer(expression, values) == answer(expression, list(values))
    assert answer(expression, values) in {"True", "False", UNSPEAKABLE}


def test_cel_is_loaded_only_where_a_rule_asks_for_it(tmp_path):
    """A node without `expr` neither loads the library nor waits for it."""
    (tmp_path / "node.toml").write_text(
        '[destinations.out]\nkind = "folder"\npath = "out"\n'
        '[[rules]]\nname = "r"\nwhen = { Modality = "CT" }\nsend = ["out"]\n'
    )
    asked = (
        "import sys; from config.load import load; from pathlib import Path\n"
        f"load(Path({str(tmp_path / 'node.toml')!r}))\n"
        "assert not [name for name in sys.modules if 'cel_expr' in name]"
    )
    subprocess.run([sys.executable, "-c", asked], check=True, timeout=60)


def test_the_example_of_the_page_is_a_rule():
    """The longer example of the page means what it says."""
    (rule,) = tomllib.loads(re.search(r"```toml\n(.*?)```", SECTION, re.DOTALL)[1])["rules"]
    expression = compile_expression(rule["expr"])
    assert expression.holds(of_ct) is True
    assert expression.holds(of_nothing) is False
