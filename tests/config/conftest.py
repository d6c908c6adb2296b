"""A folder with a config file in it, and what loading it says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import load
from dicom.errors import ConfigFault

Faults = Callable[..., dict[str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for node.toml and what it names."""
    return tmp_path


@pytest.fixture
def faults(folder: Path) -> Faults:
    """Write node.toml (and conf.d files), load it, and give its faults by path."""

    def loaded(text: str, **parts: str) -> dict[str, str]:
        path = folder / "node.toml"
        path.write_text(text, encoding="utf-8")
        for name, part in parts.items():
            (folder / "conf.d").mkdir(exist_ok=True)
            (folder / "conf.d" / f"{name}.toml").write_text(part, encoding="utf-8")
        problems = []
        try:
            load(path)
        except ConfigFault as fault:
            problems = fault.problems
        assert len(problems) == len(dict(problems)), "a path is told twice"
        return dict(problems)

    return loaded
