"""Every command teaches: what it is for, what each option means, an example."""

import importlib
import json
import subprocess
import sys

import click
import pytest

HEAVY = ("duckdb", "highdicom", "numpy", "obstore", "pyarrow", "pydantic", "pydicom", "sqlalchemy")
"""What the command line must not load before it knows that a command needs it."""

LOADED = """
import json, sys
from click.testing import CliRunner
from node.cli import penumbra
done = CliRunner().invoke(penumbra, ["--help"])
assert done.exit_code == 0, done.output
print(json.dumps([name for name in sys.modules if "." not in name]))
"""


def every_command(root):
    """Yield each command by its words; groups among them."""
    for file in sorted((root / "node" / "commands").glob("[a-z]*.py")):
        command = importlib.import_module(f"node.commands.{file.stem}").command
        yield file.stem, command
        if isinstance(command, click.Group):
            yield from ((f"{file.stem} {name}", each) for name, each in command.commands.items())


def faults(words, command):
    """Say what a command's help leaves unsaid."""
    text = command.help or ""
    first = text.partition("\n\n")[0].strip()
    if not first.endswith((".", ":")) or not first[0].isupper():
        yield f"penumbra {words}: begin the help with a sentence"
    if not isinstance(command, click.Group) and "Example" not in text:
        yield f"penumbra {words}: give an example"
    for option in command.params:
        is_plain = isinstance(option, click.Option) and not option.hidden
        if is_plain and not (option.help or option.show_default):
            yield f"penumbra {words}: say what {option.opts[-1]} means"


def test_every_command_teaches(root):
    """Who asks a command for help learns enough to use it."""
    found = [fault for words, command in every_command(root) for fault in faults(words, command)]
    assert not found, "\n".join(found)


def test_the_check_of_help_can_fail():
    """A command without a sentence, an example, and an explained option has three faults."""

    @click.command
    @click.option("--how")
    def bare():
        """does it"""

    assert len(list(faults("bare", bare))) == 3


def test_help_is_quick():
    """`penumbra --help` loads none of the heavy libraries."""
    asked = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr
    assert set(json.loads(asked.stdout)) & set(HEAVY) == set()


@pytest.mark.parametrize("word", ["nothing", "__init__", "../cli"])
def test_an_unknown_command_is_named(word):
    """A slip of the pen ends with click's exit status 2 and the word."""
    asked = subprocess.run(
        [sys.executable, "-m", "node.cli", word], capture_output=True, text=True, check=False
    )
    assert asked.returncode == 2
    assert f"No such command '{word}'" in asked.stderr
