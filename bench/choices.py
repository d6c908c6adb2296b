"""Read what the command lines of the benchmarks ask for."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click


def some(known: Iterable[str], *, none: bool = False) -> Callable[..., list[str] | None]:
    """Read a comma-separated list of known names; with `none`, that word is the empty one."""
    names = list(known)

    def read_list(_context: object, _parameter: object, text: str | None) -> list[str] | None:
        if text is None:
            return None
        chosen = [] if none and text == "none" else [part.strip() for part in text.split(",")]
        if unknown := [part for part in chosen if part not in names]:
            raise click.BadParameter(f"{', '.join(unknown)} is none of {', '.join(names)}")
        return list(dict.fromkeys(chosen))

    return read_list


def kept(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let a benchmark say where it works (`home`), and what becomes of what was found.

    Beside `home` these are `source`, an earlier run's file, and `target`, a document with the
    marks of bench-NAME; both may be None.
    """
    options = (
        click.option(
            "--scratch",
            "home",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("build/bench"),
            show_default=True,
            help="Where servers, spools and stores are kept: on the disk to be measured.",
        ),
        click.option(
            "--from",
            "source",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="Measure nothing: show or write what this file of an earlier run holds.",
        ),
        click.option(
            "--write",
            "target",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help=f"A Markdown file: the tables go between its two bench-{name} marks.",
        ),
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add
