"""Free text cleaned by a keep-list: words that are not on it are dropped, whatever they are.

A list of what may stay needs no knowledge of names: a name, a street, a ward vanishes because it
is no word of protocols, anatomy or measurement. The list is made of the words of coded concept
names (`table/concept_words.txt`), of protocol words in several languages
(`table/protocol_vocabulary.txt`), and of the site's own words; words that are also common names
(`table/names.txt`) are taken out of the concepts.

Numbers: a small one may stay, with its unit or in a grid ("1.25 mm", "3x3", "L4"); what could be
a date, a telephone or a record number vanishes: longer than four digits, four digits that are a
year, digits divided by slashes, dashes or several dots, several numbers in a row.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from deid import text

_TOKEN: Final = re.compile(
    r"(?P<uid>[0-9]+(?:\.[0-9]+){3,})"
    r"|(?P<address>[^\s<>]{0,80}(?:://|@|www\.)[^\s<>]*)"
    r"|(?P<dated>[0-9]+(?:[./:-][0-9]+){2,}|[0-9]+[/:-][0-9]+)"
    r"|(?P<number>[0-9]+(?:[.,][0-9]+)?(?![^\W_]))"
    r"|(?P<word>[^\W_]+)"
)
_WORD: Final = re.compile(r"[^\W_]+")
_SPACE: Final = re.compile(r"[ \t\f\v]+")
_LINES: Final = re.compile(r" ?[\r\n]+ ?")
_UNITS: Final = (
    "mm|cm|m|um|ms|s|sec|min|h|hz|khz|mhz|t|kv|kvp|v|ma|mas|mgy|gy|ugy|msv|mbq|bq|kg|g|mg|ml|l|cc|"
    "deg|ppm|hu|px|fps|x|d|ch|yo|w|st|nd|rd|th"
)
_MEASURE: Final = re.compile(rf"[0-9]{{1,3}}(?:{_UNITS})")
_GRID: Final = re.compile(r"[0-9]{1,4}(?:x[0-9]{1,4}){1,3}(?:mm|cm)?")
_LEVEL: Final = re.compile(r"(?:[ctls][0-9]{1,2}|t[12]w?|te[0-9]{1,3}|tr[0-9]{1,4}|b[0-9]{1,4})")
_PART: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
"""The parts of a compound: "Spinal", "Cord"; "PTV", "70"."""
_YEAR: Final = re.compile(r"(?:1[89]|20)[0-9]{2}")
_LONGEST_NUMBER: Final = 4
_LONGEST_RUN: Final = 5
"""Digits of neighbouring numbers together; more could be a telephone number in groups."""
_KEPT_MARKS: Final = frozenset("+-*/%.,;:()[]<>=&_#'\"?!")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that cleaned text may keep, in canonical form."""

    words: frozenset[str]

    def digest(self) -> str:
        """Name the list by its content (SHA-256, hex)."""
        return hashlib.sha256("\n".join(sorted(self.words)).encode()).hexdigest()

    def holds(self, word: str) -> bool:
        """Whether a word may stay: as it is, or in a form that says no more than a measure."""
        folded = _folded(word)
        if folded in self.words:
            return True
        return any(form.fullmatch(folded) for form in (_MEASURE, _GRID, _LEVEL))

    def clean(self, value: str, replace_uid: Callable[[str], str]) -> str:
        """Drop what is not on the list from one value; "" when nothing remains.

        Every character that remains is one of the value's own, but for UIDs, which
        `replace_uid` replaces ("" drops one). Line breaks stay.
        """
        kept = list(_without_rows(self._pieces(value, replace_uid)))
        joined = "".join(piece for piece, _ in kept)
        lines = (_tidied(line) for line in _LINES.sub("\n", _SPACE.sub(" ", joined)).split("\n"))
        return "\r\n".join(line for line in lines if line)

    def knows_all(self, value: str) -> bool:
        """Whether every word of a value may stay, for values that no part can be cut from."""
        return self.clean(value, lambda _: "").split() == value.split()

    def _pieces(self, value: str, replace_uid: Callable[[str], str]) -> Iterator[tuple[str, int]]:
        """Yield what remains of a value in order, each with the digits that a number adds."""
        last = 0
        for found in _TOKEN.finditer(value):
            yield _marks(value[last : found.start()]), 0
            last = found.end()
            token = found.group()
            match found.lastgroup:
                case "uid":
                    yield replace_uid(token) if len(token) >= 8 else "", 0
                case "number":
                    digits = sum(character.isdigit() for character in token)
                    yield " " if _is_odd(token, digits) else token, digits
                case "word":
                    yield self._word(token), 0
                case _:
                    yield " ", 0
        yield _marks(value[last:]), 0

    def _word(self, token: str) -> str:
        if text.has_word_gaps(token):
            return token if self.holds(token) or self._is_compound(token) else " "
        return self._segmented(token)

    def _is_compound(self, token: str) -> bool:
        """Whether a token is known words and a small number in one, as structures are named."""
        parts = _PART.findall(token)
        numbers = [part for part in parts if part.isdigit()]
        return (
            "".join(parts) == token
            and len(numbers) <= 1 < len(parts)
            and not any(_is_odd(number, len(number)) for number in numbers)
            and all(self.holds(part) for part in parts if not part.isdigit())
        )

    def _segmented(self, run: str) -> str:
        """Keep the known words of a script without gaps between words.

        A single character is often a surname, too: it stays only where the whole run is known.
        """
        pieces: list[tuple[str, bool]] = []
        position = 0
        while position < len(run):
            for size in range(min(8, len(run) - position), 0, -1):
                piece = run[position : position + size]
                if self.holds(piece):
                    break
            pieces.append((piece, self.holds(piece)))
            position += len(piece)
        if all(known for _, known in pieces):
            return run
        return "".join(piece if known and len(piece) > 1 else " " for piece, known in pieces)


def _is_odd(number: str, digits: int) -> bool:
    """Whether a number alone could be a date or belong to a telephone or record number."""
    padded = number.isdigit() and digits > 1 and number[0] == "0"
    return padded or digits > _LONGEST_NUMBER or _YEAR.fullmatch(number) is not None


def _marks(gap: str) -> str:
    """Keep spaces and plain punctuation between words."""
    return "".join(mark if mark in _KEPT_MARKS or mark in "\r\n" else " " for mark in gap)


def _without_rows(pieces: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """Drop rows of numbers that together are long enough for a telephone or record number."""
    row: list[tuple[str, int]] = []
    for piece, digits in pieces:
        if digits or (row and not any(character.isalpha() for character in piece)):
            row.append((piece, digits))
            continue
        yield from _row(row)
        row = []
        yield piece, digits
    yield from _row(row)


def _row(row: list[tuple[str, int]]) -> list[tuple[str, int]]:
    if sum(digits for _, digits in row) <= _LONGEST_RUN:
        return row
    return [(" " if digits else piece, 0) for piece, digits in row]


def _tidied(line: str) -> str:
    """Remove marks that divided words which are gone; a line of marks alone is nothing."""
    words = [word for word in line.split(" ") if any(c.isalnum() for c in word)]
    return " ".join(word.lstrip(",;:/_='\"").rstrip("/_='\"-") for word in words)


def _read(name: str) -> frozenset[str]:
    return _words((files("deid.table") / name).read_text("utf-8"))


def _words(content: str) -> frozenset[str]:
    lines = (line for line in content.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in _WORD.findall(_folded(line)))


def _folded(word: str) -> str:
    return unicodedata.normalize("NFC", word).casefold()


@cache
def shipped() -> Vocabulary:
    """Read the lists of the package."""
    concepts = _read("concept_words.txt") - _read("names.txt")
    protocol = _read("protocol_vocabulary.txt") | _read("protocol_words.txt")
    plain = {form for word in protocol for form in text.plain(word)}
    return Vocabulary(concepts | protocol | plain)


def with_own_words(file: Path | None) -> Vocabulary:
    """Add a site's own words, one or several a line, to those of the package.

    Raises OSError when the file cannot be read, UnicodeError when it is not UTF-8.
    """
    if file is None:
        return shipped()
    return Vocabulary(shipped().words | _words(file.read_text("utf-8")))
