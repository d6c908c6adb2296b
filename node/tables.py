"""Tables on the screen: one look for every command, text that is never taken for markup.

As wide as the terminal; where there is none, nothing is folded, for whoever searches it.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # loaded only when a table is printed
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_WIDE: Final = 100_000
_BAD: Final = "red"
_CONTROLS: Final = dict.fromkeys(
    [*range(9), *range(11, 32), 127, *range(128, 160)], "\N{REPLACEMENT CHARACTER}"
)
"""What comes from a peer may not steer whoever's terminal shows it; tab and line feed may stay."""


def print_table(
    titles: Sequence[str],
    rows: Iterable[Iterable[object]],
    *,
    heading: str = "",
    bad: Collection[int] = (),
) -> None:
    """Print rows under their titles, these under a heading.

    `bad` are the numbers of rows that ask for a look, from 0.
    """
    table = _table(titles)
    table.title = _cell(heading) if heading else None
    for number, row in enumerate(rows):
        table.add_row(*map(_cell, row), style=_BAD if number in bad else "")
    _screen().print(table)


def print_facts(facts: Iterable[tuple[str, str]], *, bad: Collection[str] = ()) -> None:
    """Print a name and words to a line; `bad` are the names that ask for a look."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, words in facts:
        table.add_row(_cell(name), _cell(words), style=_BAD if name in bad else "")
    _screen().print(table)


def written(titles: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table as `print_table` does where there is no terminal."""
    import io

    from rich.console import Console

    table, text = _table(titles), io.StringIO()
    for row in rows:
        table.add_row(*map(_cell, row))
    Console(file=text, width=_WIDE).print(table)
    return text.getvalue()


def _table(titles: Sequence[str]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for title in titles:
        table.add_column(Text(title), overflow="fold")
    return table


def _cell(value: object) -> "Text":
    from rich.text import Text

    return Text("" if value is None else str(value).translate(_CONTROLS))


def _screen() -> "Console":
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)
