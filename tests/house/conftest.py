"""The sources that the house rules are about, read once."""

import ast
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("ai", "config", "deid", "dicom", "node", "routing", "storage")
AROUND = ("bench", "examples", "tests")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the repository's root, its text, its syntax tree."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        """Its dotted name; a package's is that of its folder."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def source(path: str, text: str) -> Source:
    """Make a Source of text, as the tests of the checks themselves do."""
    return Source(PurePosixPath(path), text, ast.parse(text, path))


def _read(folders: tuple[str, ...]) -> list[Source]:
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return [source(file.relative_to(ROOT).as_posix(), file.read_text()) for file in files]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def make_source():
    return source


@pytest.fixture(scope="session")
def product() -> list[Source]:
    """Every file that an installation contains."""
    return _read(PRODUCT)


@pytest.fixture(scope="session")
def everything(product) -> list[Source]:
    """The product, and what stands around it."""
    return product + _read(AROUND)


@pytest.fixture(scope="session")
def documents() -> dict[str, str]:
    """The documents that people read, by path."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {file.relative_to(ROOT).as_posix(): file.read_text() for file in files}
