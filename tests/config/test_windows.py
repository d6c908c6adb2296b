"""Windows are read as people write them, and slips are told in words."""

import pytest

from config.load import load
from config.windows import Window, read
from dicom.errors import ConfigFault

ALL = frozenset(range(7))


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("22:00-06:00", Window(ALL, 22 * 60, 6 * 60)),
        (" 07:30 - 19:00 ", Window(ALL, 450, 1140)),
        ("Sat,Sun 00:00-24:00", Window(frozenset({5, 6}), 0, 1440)),
        ("mon-FRI 19:00-07:00", Window(frozenset({0, 1, 2, 3, 4}), 1140, 420)),
        ("Fri-Mon 00:00-12:00", Window(frozenset({4, 5, 6, 0}), 0, 720)),
        ("Mon, Wed-Thu 20:00-00:00", Window(frozenset({0, 2, 3}), 1200, 1440)),
    ],
)
def test_windows(text, window):
    """Days in any case, lists and ranges of them, and hours over midnight."""
    if " - " in text:
        text = text.replace(" - ", "-")
    assert read(text) == window


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "from and to"),
        ("night", "from and to"),
        ("22-6", "from and to"),
        ("25:00-06:00", "from and to"),
        ("24:00-06:00", "from and to"),
        ("22:00", "from and to"),
        ("08:00-08:00", "whole day"),
        ("Sonntag 08:00-09:00", "'Sonntag' is no day"),
        ("Mon- 08:00-09:00", "is no day"),
        ("Mon,,Tue 08:00-09:00", "is no day"),
    ],
)
def test_slips(text, words):
    """What is no window says so, with an example."""
    with pytest.raises(ValueError, match=words):
        read(text)


def test_a_slip_in_the_file_is_told_with_its_place(tmp_path):
    """`penumbra check` names the rule and the window; one alone needs no brackets."""
    file = tmp_path / "node.toml"
    start = '[destinations.a]\nkind = "folder"\npath = "a"\n[[rules]]\nname = "r"\nsend = ["a"]\n'
    file.write_text(start + 'during = ["22:00-06:00", "Mon 9-10"]\n')
    with pytest.raises(ConfigFault) as fault:
        load(file)
    assert [path for path, _ in fault.value.problems] == ["rules[0].during[1]"]
    file.write_text(start + 'during = "nights"\n')
    with pytest.raises(ConfigFault, match=r"rules\[0\]\.during: "):
        load(file)
    file.write_text(start + 'during = "22:00-06:00"\n')
    assert load(file).rules[0].during == ("22:00-06:00",)
