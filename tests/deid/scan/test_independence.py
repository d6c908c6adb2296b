"""The scanner is a second opinion: it shares no code with what it judges."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
OURS = {"ai", "config", "deid", "dicom", "node", "routing", "storage", "examples", "tests", "bench"}


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names)


def strangers(text):
    """Name what a file of the scanner imports of ours beside the scanner itself."""
    return {
        name
        for name in imported(ast.parse(text))
        if name.startswith(".")
        or (name.split(".")[0] in OURS and not f"{name}.".startswith("deid.scan."))
    }


@pytest.mark.parametrize(
    "file", sorted((ROOT / "deid" / "scan").rglob("*.py")), ids=lambda f: f.name
)
def test_the_scanner_imports_nothing_of_ours(file):
    """No file of the scanner imports anything of this project but the scanner."""
    assert strangers(file.read_text()) == set()


def test_the_engine_imports_nothing_of_the_scanner():
    """De-identification does not lean on the scanner either."""
    for file in (ROOT / "deid").rglob("*.py"):
        if "scan" not in file.relative_to(ROOT).parts:
            assert not any("deid.scan" in name for name in imported(ast.parse(file.read_text()))), (
                file
            )


def test_nothing_is_imported_by_name_at_run_time():
    """No file of the scanner finds a way around import statements."""
    for file in (ROOT / "deid" / "scan").rglob("*.py"):
        names = {
            node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)
        }
        assert not names & {"importlib", "__import__", "eval", "exec"}, file


@pytest.mark.parametrize(
    "text",
    [
        "from deid.parse import read",
        "import dicom.part10",
        "from deid import text",
        "from .. import walk",
    ],
)
def test_the_check_of_independence_can_fail(text):
    """An import of the engine, or of the project's parsers, is found."""
    assert strangers(text)
