"""The ways in which people and machines write a name, a number or a date."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import permutations
from typing import Final

from deid.scan.wanted import Kind, Wanted, date_parts

_GERMAN: Final = str.maketrans({
    "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "æ": "ae", "ø": "oe", "œ": "oe",
    "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "Å": "Aa", "Æ": "Ae", "Ø": "Oe", "Œ": "Oe",
})  # fmt: skip
_BETWEEN: Final = ("^", " ", ", ", ",", "_", "-", ".", "")
_MOST_PARTS: Final = 3
_MONTHS: Final = (
    "january february march april may june july august september october november december",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
)
"""In English, German, French, Spanish, Italian, Dutch and Portuguese."""


def parts(name: str) -> list[str]:
    """Split a name into its words, in the order in which it is given."""
    return [part for part in re.split(r"[\s^=,;_]+", name) if any(c.isalpha() for c in part)]


def spellings(wanted: Wanted) -> Iterator[str]:
    """Yield the spellings of one line, in the case in which it is given."""
    match wanted.kind:
        case Kind.NAME:
            written = _name(wanted.text)
        case Kind.DATE:
            written = _date(wanted.text)
        case Kind.PHONE:
            written = _phone(wanted.text)
        case Kind.UID:
            written = iter([wanted.text])
        case _:
            written = _number(wanted.text)
    for text in written:
        yield text
        if not text.isascii():
            yield text.translate(_GERMAN)
            yield without_accents(text)


def without_accents(text: str) -> str:
    """Write Latin letters without their accents; every other script stays."""
    split = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", "".join(c for c in split if not unicodedata.combining(c)))


def _name(name: str) -> Iterator[str]:
    yield name
    words = parts(name)
    yield from words
    for some in permutations(words[:_MOST_PARTS], min(len(words), _MOST_PARTS)):
        yield from (between.join(some) for between in _BETWEEN)
    for pair in permutations(words[:_MOST_PARTS], 2):
        yield from (between.join(pair) for between in _BETWEEN)


def _number(number: str) -> Iterator[str]:
    yield number
    yield "".join(c for c in number if c.isalnum())


def _phone(number: str) -> Iterator[str]:
    yield number
    digits = re.sub(r"\D", "", number)
    yield digits
    yield re.sub(r"^0+", "", digits)
    groups = re.findall(r"\d+", number)
    for between in (" ", "-", "/", "."):
        yield between.join(groups)


def _date(text: str) -> Iterator[str]:
    found = date_parts(text)
    if found is None:
        return
    year, month, day = found
    yield f"{year}{month:02}{day:02}"
    yield f"{day:02}{month:02}{year}"
    yield f"{month:02}{day:02}{year}"
    for between in ("-", ".", "/", " "):
        for d, m in ((f"{day:02}", f"{month:02}"), (str(day), str(month))):
            yield between.join((str(year), m, d))
            yield between.join((d, m, str(year)))
            yield between.join((m, d, str(year)))
    for language in _MONTHS:
        long = language.split()[month - 1]
        for word in {long, long[:3]}:
            yield f"{day} {word} {year}"
            yield f"{day:02} {word} {year}"
            yield f"{day}. {word} {year}"
            yield f"{word} {day}, {year}"
            yield f"{day:02}-{word}-{year}"
