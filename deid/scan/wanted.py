"""Read the identity file: what to search for, one line each.

UTF-8 text. Empty lines and lines that begin with # are skipped. A line may say its kind:

    name: Mustermann^Anna
    id: PAT-4711
    date: 1957-03-12
    phone: +49 30 901820
    uid: 1.2.840.99.1
    text: Elm Street 5

Without a kind it is taken for what it looks like. Nothing here ever shows a line: findings name
it by its number.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_UID: Final = re.compile(r"\d+(?:\.\d+){3,}")
_DATE: Final = re.compile(r"((?:18|19|20)\d\d)([-./]?)(\d\d?)\2(\d\d?)")
_PHONE: Final = re.compile(r"[+0][\d ()/.-]{6,}")
_LEAST: Final = 2


class Kind(StrEnum):
    """What a line of the identity file is."""

    NAME = "name"
    ID = "id"
    DATE = "date"
    PHONE = "phone"
    UID = "uid"
    TEXT = "text"


class Unusable(ValueError):  # noqa: N818  (the house names faults by what they are)
    """A line that cannot be searched for; the message names its number alone."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One line of the identity file."""

    line: int
    kind: Kind
    text: str = field(repr=False)


def read(content: bytes) -> tuple[Wanted, ...]:
    """Read an identity file's content.

    Raises Unusable when it is not UTF-8, holds nothing, or holds a line that would be found
    everywhere or nowhere.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Unusable("the identity file is not UTF-8 text") from None
    found = [
        _wanted(number, line.strip())
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:
        raise Unusable("the identity file holds nothing to search for")
    return tuple(found)


def _wanted(number: int, line: str) -> Wanted:
    prefix, colon, rest = line.partition(":")
    said = prefix.strip().lower()
    if colon and said in set(Kind):
        kind, text = Kind(said), rest.strip()
    else:
        kind, text = _looks_like(line), line
    if sum(character.isalnum() for character in text) < _LEAST:
        raise Unusable(f"line {number} is too short to be told from anything else")
    if kind is Kind.DATE and date_parts(text) is None:
        raise Unusable(f"line {number} is no date: write it as YYYY-MM-DD or YYYYMMDD")
    if kind is Kind.UID and not _UID.fullmatch(text):
        raise Unusable(f"line {number} is no UID")
    return Wanted(number, kind, text)


def _looks_like(text: str) -> Kind:
    if date_parts(text):
        return Kind.DATE
    if _UID.fullmatch(text):
        return Kind.UID
    if _PHONE.fullmatch(text):
        return Kind.PHONE
    return Kind.ID if any(character.isdigit() for character in text) else Kind.NAME


def date_parts(text: str) -> tuple[int, int, int] | None:
    """Split a date, the year first; None for anything else."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day = int(match[1]), int(match[3]), int(match[4])
    return (year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None
