"""Tables of every command: what is in a cell stands there as it is, however long."""

import pytest

from node.tables import print_facts, print_table, written

ROWS = [("[red]9[/red]", None), ("x" * 900, 3), ("DOE\x1b]0;owned\x07\x1b[2J", "a\tb")]


def test_no_text_is_markup_and_none_is_folded_off_a_terminal(capsys):
    """Names of patients and protocols come from outside, and pipes have no width."""
    print_table(("[b]name", "count"), ROWS, heading="[i]2 found")
    told = capsys.readouterr().out
    for words in ("[b]name", "[red]9[/red]", "x" * 900, "[i]2 found"):
        assert words in told
    assert "None" not in told
    assert "\x1b" not in told


def test_what_is_written_is_what_is_printed(capsys):
    """A file gets the same table as a pipe."""
    print_table(("name", "count"), ROWS)
    assert written(("name", "count"), ROWS) == capsys.readouterr().out


@pytest.mark.parametrize("bad", [(), (1,)])
def test_what_asks_for_a_look_is_red_on_a_terminal(bad, monkeypatch, capsys):
    """Only the rows that are named, and never where it is no terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    print_table(("name",), [("fine",), ("wrong",)], bad=bad)
    lines = capsys.readouterr().out.splitlines()
    red = {word for word in ("fine", "wrong") for line in lines if word in line and "[31m" in line}
    assert red == ({"wrong"} if bad else set())


def test_facts_that_ask_for_a_look_are_red_too(monkeypatch, capsys):
    """The line that is named, and no other."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    print_facts([("node", "runs"), ("held", "2 jobs")], bad={"held"})
    red = [line for line in capsys.readouterr().out.splitlines() if "31m" in line]
    assert ["2 jobs" in line for line in red] == [True]


def test_facts_are_a_name_and_words_to_a_line(capsys):
    """Words stand behind their name, brackets and all."""
    print_facts([("node", "runs [here]"), ("held", "2 jobs")])
    lines = [
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.strip()
    ]
    assert [[name, words.strip()] for name, words in lines] == [
        ["node", "runs [here]"], ["held", "2 jobs"],
    ]  # fmt: skip
