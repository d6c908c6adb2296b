"""Write Markdown tables, put them between their marks in a document, read them back; pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dicom.errors import CannotUnderstand

_PLACE: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-z-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table. A bar within a cell is escaped."""
    lines = [list(headings), ["---"] * len(headings), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(_cell(each) for each in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def places(document: str) -> list[str]:
    """Name the tables that a document has a place for, in order."""
    return [found["name"] for found in _PLACE.finditer(document)]


def rows(document: str, name: str) -> list[list[str]]:
    """Read the rows of a table back out of its place. Raises CannotUnderstand when it is lost."""
    for found in _PLACE.finditer(document):
        if found["name"] == name:
            lines = [line for line in found[0].splitlines() if line.startswith("| ")]
            return [[cell.strip() for cell in line[2:-1].split(" | ")] for line in lines[2:]]
    raise CannotUnderstand(f"the document has no table named {name}")


def filled(document: str, tables: Mapping[str, str]) -> str:
    """Put each table into its place.

    Raises CannotUnderstand when a table has no place or several, or a place has no table.
    """
    there = places(document)
    for name in sorted({*there, *tables}):
        if there.count(name) != 1 or name not in tables:
            words = (
                f"{there.count(name)} places and {'a' if name in tables else 'no'} table are named"
                f" {name}; each table needs one pair of lines"
                f" '<!-- generated: {name} -->' and '<!-- end -->'"
            )
            raise CannotUnderstand(words)
    return _PLACE.sub(lambda at: f"{at['begin']}\n{tables[at['name']]}\n{at['end']}", document)
