"""Compile the load generator, the floor and the shim that makes a peer durable."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).with_name("c")
FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread")


class NoCompiler(RuntimeError):  # noqa: N818  (said to a person, who can mend it)
    """There is no C compiler, or it does not take our sources; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The compiled programs."""

    load: Path
    floor: Path
    """Takes a log to append to; without one it is a receiver that keeps nothing."""
    durable: Path
    """A shared library for LD_PRELOAD."""


def compiler() -> str | None:
    """Find a C compiler."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(folder: Path) -> Programs:
    """Compile what is older than its sources, and give the programs. Raises NoCompiler."""
    made = Programs(folder / "load", folder / "floor", folder / "durable.so")
    newest = max(file.stat().st_mtime for file in SOURCES.iterdir())
    targets = (made.load, made.floor, made.durable)
    if all(each.exists() and each.stat().st_mtime > newest for each in targets):
        return made
    found = compiler()
    if found is None:
        raise NoCompiler(
            "the load generator is written in C, and there is no compiler here: install one"
            " (Debian: apt-get install gcc libc6-dev), then start again"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _compile(found, made.load, "load.c", "objects.c")
    _compile(found, made.floor, "floor.c")
    _compile(found, made.durable, "durable.c", "-shared", "-fPIC", "-ldl")
    return made


def _compile(found: str, target: Path, *words: str) -> None:
    parts = [str(SOURCES / word) if word.endswith(".c") else word for word in words]
    done = subprocess.run(
        [found, *FLAGS, *parts, "-o", str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoCompiler(f"{found} does not compile {words[0]}:\n{done.stderr}")
