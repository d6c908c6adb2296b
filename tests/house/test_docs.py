"""What the documents name exists: commands, targets, paths, links, settings, decisions."""

import importlib
import itertools
import re
import tomllib
from typing import get_args

import click
import pytest

from config.load import load
from config.model import Settings

SPAN = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
PATH = re.compile(r"\.?[\w.-]+(?:/[\w.*-]+)*/?")
SUFFIXES = (".py", ".md", ".toml", ".sh", ".yaml", ".service", ".txt", ".json", ".pbtxt")
HISTORY = "CHANGELOG.md"
"""The changelog names what existed when a line was written."""


def code(document):
    """List a document's code: spans and blocks."""
    return [block or span for block, span in SPAN.findall(document)]


def commands(document):
    """List what a document says after `penumbra`, the subcommand of a group included."""
    return {
        tuple(word for word in found if word)
        for text in code(document)
        for found in re.findall(r"(?<![\w/@-])penumbra ([a-z]+)(?: ([a-z]+)\b(?![./]))?", text)
    }


def targets(document):
    """List the make targets that a document names."""
    return {
        target for text in code(document) for target in re.findall(r"\bmake ([a-z][a-z-]*)", text)
    }


def paths(document):
    """List the files and folders of the repository that a document names in code."""
    words = {text.strip() for text in code(document) if PATH.fullmatch(text.strip())}
    return {word for word in words if "/" in word[:-1] and word.endswith((*SUFFIXES, "/"))}


def links(document):
    """List the relative links of a document, without their fragments."""
    found = re.findall(r"\]\(([^)#\s]+)[^)]*\)", document)
    return [link for link in found if "://" not in link]


def settings_named(document):
    """List the settings that a document names as `[table] key`."""
    found = (re.findall(r"\[(\w+)\] (\w+)", text) for text in code(document) if "\n" not in text)
    return {pair for pairs in found for pair in pairs}


def subcommands(name):
    """Name the commands of a group, or nothing for a plain command."""
    found = importlib.import_module(f"node.commands.{name}").command
    return set(found.commands) if isinstance(found, click.Group) else set()


@pytest.fixture(scope="module")
def current(documents):
    """The documents that must fit the code as it is now."""
    return {path: text for path, text in documents.items() if path != HISTORY}


@pytest.fixture(scope="module")
def makefile(root):
    return (root / "Makefile").read_text()


def test_commands_in_documents_exist(documents, root):
    """Every `penumbra` command that a document names is a file of node/commands, or in one."""
    for path, text in documents.items():
        for name, *rest in commands(text):
            assert (root / "node" / "commands" / f"{name}.py").is_file(), f"{path}: {name}"
            known = subcommands(name)
            assert not known or not rest or rest[0] in known, f"{path}: {name} {rest[0]}"


def test_every_command_is_in_the_readme(documents, root):
    """A command that nobody can find might as well not exist."""
    named = {name for name, *_ in commands(documents["README.md"])}
    there = {file.stem for file in (root / "node" / "commands").glob("[a-z]*.py")}
    assert there == named


def test_targets_in_documents_exist(documents, makefile):
    """Every make target that a document names is in the Makefile, and says there what it does."""
    explained = set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE))
    for path, text in documents.items():
        assert targets(text) <= explained, path
    assert set(re.findall(r"^\.PHONY: (\S+)", makefile, re.MULTILINE)) == explained


def test_the_quick_start_is_two_commands(documents):
    """A newcomer needs `make demo` and `make test`, and nothing else."""
    section = documents["README.md"].split("## Quick start")[1].split("\n#")[0]
    assert re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1] == "make demo\nmake test\n"


def test_paths_in_documents_exist(current, root):
    """Every file and folder of the repository that a document names is there."""
    generated = ("spool/", "conf.d/", ".venv/bin/", "deploy/secrets/")
    for path, text in current.items():
        for name in paths(text):
            found = name.startswith(generated) or list(root.glob(name.rstrip("/")))
            assert found or "KIND" in name, f"{path} names {name}"


def test_links_lead_somewhere(documents, root):
    """Every relative link of every document leads to a file or folder."""
    for path, text in documents.items():
        for link in links(text):
            assert ((root / path).parent / link).exists(), f"{path} links to {link}"


def test_settings_in_documents_exist(current):
    """Every `[table] key` that a document names is a setting."""
    for path, text in current.items():
        for table, key in settings_named(text):
            shape = Settings.model_fields[table].annotation
            optional = next(iter(get_args(shape)), shape)
            assert key in optional.model_fields, f"{path} names [{table}] {key}"


def test_the_config_of_the_readme_loads(documents, tmp_path, monkeypatch):
    """Who copies the README's config file starts without a fault."""
    example = re.search(r"```toml\n(.*?)```", documents["README.md"], re.DOTALL)[1]
    for name in re.findall(r'env = "(\w+)"', example):
        monkeypatch.setenv(name, "x")
    for name in re.findall(r'file = "(\S+)"', example):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(bytes(range(32)))
    (tmp_path / "node.toml").write_text(example)
    assert load(tmp_path / "node.toml").rules[0].results_to == ("pacs",)


def test_decisions_are_numbered_and_whole(root):
    """Decisions count up from 0001 without a gap; each has context, choice and price on a page."""
    files = sorted((root / "docs" / "decisions").glob("*.md"))
    assert [file.name[:4] for file in files] == [f"{n:04d}" for n in range(1, len(files) + 1)]
    for file in files:
        text = file.read_text()
        assert text.startswith(f"# {file.name[:4]}: "), file.name
        assert re.findall(r"^## (\w+)", text, re.MULTILINE) == ["Context", "Choice", "Price"]
        assert text.count("\n") <= 70, file.name


def test_decision_0005_names_every_dependency(root, documents):
    """No package is depended on without a reason that one can read."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    parts = documents["docs/decisions/0005-parts.md"].lower()
    for requirement in [*project["dependencies"], *itertools.chain(*extras)]:
        name = re.match(r"[\w.-]+", requirement)[0]
        if name == project["name"]:  # an extra that brings another one
            continue
        assert re.search(rf"\b{re.escape(name.removesuffix('-timeout'))}\b", parts), name


def test_the_changelog_tells_of_this_version(root, documents):
    """The version of pyproject.toml is the changelog's newest."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## \[([^\]]+)\]", documents[HISTORY], re.MULTILINE)[1]
    assert version == newest


def test_promises_read_the_same_everywhere(root, documents):
    """README, architecture and markers know the same promises."""
    pyproject = (root / "pyproject.toml").read_text()
    marked = [name.upper() for name in re.findall(r'^    "(p\d):', pyproject, re.MULTILINE)]
    assert re.findall(r"^- \*\*(P\d)\*\*", documents["README.md"], re.MULTILINE) == marked
    table = re.findall(r"^\| (P\d) \|", documents["docs/architecture.md"], re.MULTILINE)
    assert table == marked


def test_the_readers_of_documents_can_read():
    """Commands, targets, paths, links and settings are found where they stand in code."""
    text = (
        "`penumbra check -c node.toml`, `penumbra key new research.key`, penumbra nothing\n"
        "```sh\nsudo -u penumbra /opt/bin/penumbra status\nmake demo KEEP=1\n```\n"
        "`storage/spool/` `deid/walk.py` `and/or` [why](docs/x.md#y) [out](http://x/y)\n"
        "`[node] reserve_mb`\n"
    )
    assert commands(text) == {("check",), ("key", "new")}
    assert targets(text) == {"demo"}
    assert paths(text) == {"storage/spool/", "deid/walk.py"}
    assert links(text) == ["docs/x.md"]
    assert settings_named(text) == {("node", "reserve_mb")}
