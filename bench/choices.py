"""Read what the command lines of the benchmarks ask for."""

from collections.abc import Callable, Iterable

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
