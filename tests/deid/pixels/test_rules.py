"""Device rules: what a file may say, and what is wrong with one, all at once."""

import tomllib
from pathlib import Path

import pytest

from deid.pixels.boxes import Box
from deid.pixels.rules import faults, read_rules
from dicom.errors import ConfigFault

GOOD = """
[[device]]
name = "banner"
when = { Manufacturer = "ACME*", Modality = ["US", "OT"], Rows = 480, Columns = 640 }
blank = [[0, 0, 640, 40], [600, 0, 640, 480]]
reason = "seen on every image of the installation test"

[[device]]
name = "any ACME"
when = { Manufacturer = "ACME*" }
blank = [[0.0, 0.0, 1.0, 0.105]]
keep = "ultrasound-regions"
reason = "the banner is at the top on all of them"
"""


@pytest.fixture
def site(tmp_path) -> Path:
    file = tmp_path / "devices.toml"
    file.write_text(GOOD, "utf-8")
    return file


def test_the_first_rule_that_matches_counts(site):
    """A more particular rule stands before a general one, and the site's before those shipped."""
    rules = read_rules([site])
    exact = {"Manufacturer": ("Acme Ltd",), "Modality": ("US",), "Rows": ("480",)}
    assert rules.device(exact | {"Columns": ("640",)}).name == "banner"
    assert rules.device(exact | {"Columns": ("800",)}).name == "any ACME"
    assert rules.device({"Modality": ("US",)}).name == "ultrasound regions"
    assert rules.device({"Modality": ("CT",)}) is None


def test_boxes_in_parts_round_outwards(site):
    """A box in parts of the image covers each pixel that it touches."""
    rule = read_rules([site]).devices[1]
    assert rule.boxes(101, 99) == (Box(0, 0, 101, 11),)
    assert read_rules([site]).devices[0].boxes(640, 480)[0] == Box(0, 0, 640, 40)


def test_the_digest_follows_the_rules(site):
    """Other rules give another digest, the same rules the same."""
    before = read_rules([site]).digest
    assert read_rules([site]).digest == before
    assert read_rules().digest != before
    site.write_text(GOOD.replace("40]", "41]"), "utf-8")
    assert read_rules([site]).digest != before


@pytest.mark.parametrize(
    ("rule", "place", "words"),
    [
        ({"clean": None}, "", "does nothing"),
        ({"blank": [[0.0, 0.0, 1.0, 1.0]]}, "", "exclude each other"),
        ({"reason": " "}, ".reason", "why the rule may be trusted"),
        ({"name": None}, ".name", "missing"),
        ({"when": {}}, ".when", "is missing"),
        ({"when": {"Manufacture": "x"}}, ".when.Manufacture", "did you mean Manufacturer?"),
        ({"when": {"Rows": "480"}}, ".when.Rows", "whole number"),
        ({"when": {"Modality": []}}, ".when.Modality", "list"),
        ({"bank": [[0, 0, 1, 1]]}, ".bank", "did you mean blank?"),
        ({"clean": "yes"}, ".clean", "true or left out"),
        ({"clean": None, "keep": "all"}, ".keep", "ultrasound-regions"),
        ({"clean": None, "blank": []}, ".blank", "list of boxes"),
        ({"clean": None, "blank": [[0, 0, 10]]}, ".blank[0]", "four whole numbers"),
        ({"clean": None, "blank": [[0, 0.5, 1, 1]]}, ".blank[0]", "four whole numbers"),
        ({"clean": None, "blank": [[0.5, 0.0, 0.5, 1.0]]}, ".blank[0]", "x0 < x1"),
        ({"clean": None, "blank": [[0.0, 0.0, 640.0, 40.0]]}, ".blank[0]", "pass 1.0"),
        ({"clean": None, "blank": [[0, 0, 640, 40]]}, ".blank[0]", "name Rows and Columns"),
        (
            {"clean": None, "blank": [[0, 0, 9, 9]], "when": {"Rows": 8, "Columns": 9}},
            ".blank[0]",
            "over the edge",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(rule, place, words):
    """Each thing that can be wrong with a rule is told in words that name the place and the fix."""
    good = {"name": "x", "when": {"Modality": "US"}, "clean": True, "reason": "seen"}
    merged = {key: value for key, value in (good | rule).items() if value is not None}
    found = list(faults({"device": [merged]}))
    assert [where for where, _ in found] == [f"device[0]{place}"]
    assert words in found[0][1]


def test_all_faults_of_all_files_are_told_at_once(tmp_path, site):
    """One run names every fault: of syntax, of a file that is not there, of each rule."""
    broken = tmp_path / "broken.toml"
    broken.write_text("[[device]\n", "utf-8")
    odd = tmp_path / "odd.toml"
    odd.write_text('[[device]]\nname = "a"\n[[device]]\nclean = true\n[other]\n', "utf-8")
    with pytest.raises(ConfigFault) as caught:
        read_rules([site, broken, tmp_path / "absent.toml", odd])
    places = [place for place, _ in caught.value.problems]
    assert str(broken) in places
    assert str(tmp_path / "absent.toml") in places
    assert {f"{odd}: other", f"{odd}: device[0].reason", f"{odd}: device[1].name"} <= set(places)


@pytest.mark.parametrize("device", [{}, [1], "x"])
def test_what_is_no_list_of_rules_is_told(device):
    """A single table, or no table at all, is told before anything is read from it."""
    assert [place for place, _ in faults({"device": device})] == ["device"]


def test_shipped_rules_obey_their_own_checks():
    """The files shipped have none of the faults that a site's could have."""
    import tomllib
    from importlib.resources import files

    text = (files("deid.pixels") / "devices.toml").read_text("utf-8")
    assert not list(faults(tomllib.loads(text)))


def test_the_example_of_the_documentation_is_a_rule():
    """What docs/deidentification.md shows as a device rule can be used as it stands."""
    text = (Path(__file__).parents[3] / "docs" / "deidentification.md").read_text("utf-8")
    examples = [each.partition("```")[0] for each in text.split("```toml\n")[1:]]
    rules = [each for each in examples if "[[device]]" in each]
    assert rules
    assert not [fault for each in rules for fault in faults(tomllib.loads(each))]
