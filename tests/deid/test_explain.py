"""What a profile says about itself to whoever signs it."""

import json

import pytest
from click.testing import CliRunner

from config.profiles import Profile as ProfileSettings
from config.shapes import Secret
from deid import explain
from deid.bases import names, read_base
from deid.options import OPTIONS
from deid.profile import rules_and_digest
from deid.table import table
from dicom.errors import ConfigFault
from node.commands import profile as profile_command


def settings(**values) -> ProfileSettings:
    return ProfileSettings.model_validate({"key": Secret(env="UNUSED"), **values})


def rules(**values):
    return rules_and_digest("site", settings(**values))[0]


def show(*words: str):
    return CliRunner().invoke(profile_command.command, ["show", *words])


@pytest.mark.parametrize("base", names())
def test_every_row_of_the_table_has_a_line(base):
    """Nothing that the table lists is left out, and every line says what happens in words."""
    found = list(explain.lines(rules(base=base)))
    told = {line.tag for line in found}
    facts = table.load()
    assert all(f"({tag >> 16:04X},{tag & 0xFFFF:04X})" in told for tag in facts.by_tag)
    assert all(line.words and line.action for line in found)
    assert len(told) == len(found)


def test_each_option_of_a_shipped_profile_has_its_reason():
    """A profile turns nothing on without saying why, and its options go together."""
    for base in names():
        options = read_base(base).options
        assert set(options) <= set(OPTIONS)
        assert all(len(reason) > 30 for reason in options.values())


def test_what_changed_is_what_departs_from_the_table():
    """`changed` leaves out what the table alone decided, and names who decided the rest."""
    exception = {"tag": "StudyID", "action": "keep", "reason": "the protocol's number"}
    found = {line.tag: line for line in explain.lines(
        rules(base="research", exceptions=[exception]), changed=True)}  # fmt: skip
    assert {line.by for line in found.values()} == {"site", "option", "profile"}
    assert found["(0020,0010)"].reason == "the protocol's number"
    assert found["(0008,0020)"].option == "modified-dates"
    assert "(0008,0090)" not in found


def test_the_type_of_an_attribute_is_told_as_alternatives():
    """Where the IOD decides, the line says among what."""
    found = {line.tag: line for line in explain.lines(rules())}
    assert found["(0008,0080)"].action == "X/Z/D"
    assert "as the IOD needs" in found["(0008,0080)"].words
    assert found["(0010,0030)"].words.startswith("emptied")


def test_a_profile_is_shown_as_text_and_as_json():
    """Both forms name the options with codes and reasons, and every attribute."""
    text = show("research")
    assert text.exit_code == 0, text.output
    for words in ("113107", "follow-up", "(0008,0020) Study Date: date moved", "Everything else"):
        assert words in text.output
    data = json.loads(show("research", "--format", "json").output)
    assert data["base"] == "research"
    assert {each["name"] for each in data["options"]} == set(read_base("research").options)
    assert len(data["attributes"]) > 640


def test_a_profile_of_the_config_is_shown_without_its_key(tmp_path):
    """An officer needs no secret, and sees the site's exceptions with their reasons."""
    file = tmp_path / "node.toml"
    file.write_text(
        "[profiles.ours]\n"
        'base = "trial"\nkey = { env = "NOT_SET" }\n'
        'exceptions = [{ tag = "0008,1030", action = "remove", reason = "sponsor asked" }]\n'
    )
    shown = show("ours", "-c", str(file), "--changed")
    assert shown.exit_code == 0, shown.output
    assert "site: sponsor asked" in shown.output
    missing = show("theirs", "-c", str(file))
    assert isinstance(missing.exception, ConfigFault)
    assert "ours" in str(missing.exception)


def test_two_profiles_are_compared():
    """A difference is named with both sides; alike profiles differ in nothing."""
    run = CliRunner().invoke(profile_command.command, ["diff", "basic", "research"])
    assert run.exit_code == 1
    assert "+ modified-dates" in run.output
    assert "(0008,0020) Study Date" in run.output
    same = CliRunner().invoke(profile_command.command, ["diff", "basic", "basic"])
    assert (same.exit_code, same.output) == (0, "no difference\n")
