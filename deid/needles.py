"""The searchable forms of one name, number, place or date: what betrays it in canonical text.

A needle is looked for as a plain substring of canonical text (`text.canonical`): " lee " is a
word, "| lee |" a whole value, "山田" is found anywhere. `identity` says which attributes the values
come from, and which needles are looked for in what.

- Names: each word of three letters or more, whole names in both orders, also written as one word,
  and each part as one word ("vanderberg"). A shorter word counts only as a whole value. Words that
  scanners write all the time (`table/protocol_words.txt`) count only as part of the whole name,
  otherwise a patient named Head could never have a head scan. Titles and suffixes (Dr, Jr) are no
  names.
- Identifiers: six characters or more, or four with a letter in them, are words, whatever
  punctuation divides them; shorter ones count only as whole values; one or two characters not at
  all, because such a value is shared by too many others to point at anyone. Long runs of digits
  inside count by themselves: of "MRN-4482913" people write the number.
- Places: the whole phrase, and each long word that is no word of medicine ("Zylberfried").
- Placeholders ("ANONYMOUS", "UNKNOWN") name nobody; among them are the dummies written here.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final

from deid import text, vocabulary

_PLACEHOLDERS: Final = (
    "anon anonym anonymized anonymised anonymous deidentified empty blank name nameless none null "
    "patient removed test unknown unnamed undefined"
)
_FILLERS: Final = frozenset(
    {"st", "nd", "rd", "th", "of", "the", "de", "di", "del", "den", "der", "le", "er", "il", "o"}
    | {"年", "月", "日", "년", "월", "일"}
)
"""What stands between the numbers of a date that is written in words."""
LONG: Final = 8
"""Letters of a phrase that occurs by chance in no other word and over no gap between words."""
LONG_NUMBER: Final = 6
"""Digits of a number that is nobody else's by chance."""
_LONG_RUN: Final = 7
"""Digits inside an identifier that tell it alone; six are often a time."""
_SHORTEST_JOINED: Final = 4
"""Letters of a part of a name as one word; of fewer only initials are joined."""
_TELLING_WORD: Final = 7
"""Letters of a word of a place's name that tells the place."""


@cache
def placeholders() -> frozenset[str]:
    """Say which words stand in for a name; they identify nobody."""
    return frozenset(_PLACEHOLDERS.split())


@cache
def protocol_words() -> frozenset[str]:
    """Read the words that identify nobody by themselves."""
    return frozenset(word for line in _lines("protocol_words.txt") for word in line.split())


@cache
def _months() -> dict[str, str]:
    """Read the names of months, with and without diacritics, and their numbers."""
    return {
        form: str(number)
        for number, line in enumerate(_lines("month_names.txt"), 1)
        for name in line.split()
        for form in {name} | text.plain(name)
    }


def _lines(name: str) -> list[str]:
    content = (files("deid.table") / name).read_text("utf-8")
    return [line for line in content.splitlines() if not line.startswith("#")]


def _is_shared(word: str) -> bool:
    return word in placeholders() or word in protocol_words()


def _word(phrase: str) -> str:
    """Make the needle that finds a phrase between words."""
    return f" {phrase} " if text.has_word_gaps(phrase) else phrase


def _name_phrases(name: str) -> Iterator[str]:
    """Yield the phrases that give a name away: its words, and itself in both orders."""
    for group in name.split("="):
        parts = [text.words(part) for part in group.split("^")[:3]]
        flat = [word for part in parts for word in part]
        for word in flat:
            if any(character.isalpha() for character in word) and not _is_shared(word):
                yield word
        if len(flat) > 1 and not all(word in placeholders() for word in flat):
            family, given = parts[0], [word for part in parts[1:] for word in part]
            for order in (family + given, given + family):
                yield " ".join(order)
                yield "".join(order)
            if given and parts[1]:
                yield " ".join(family + parts[1])
                yield " ".join(parts[1] + family)
        joined = ["".join(part) for part in parts if len(part) > 1]
        yield from (part for part in joined if len(part) >= _SHORTEST_JOINED)


def of_name(name: str) -> Iterator[str]:
    """Yield needles for one value of PN (PS3.5 6.2.1)."""
    for phrase in _name_phrases(name):
        for form in {phrase} | text.plain(phrase):
            long_enough = len(form) >= (3 if text.has_word_gaps(form) else 2)
            yield _word(form) if long_enough else f"| {form} |"


def of_identifier(identifier: str) -> Iterator[str]:
    """Yield needles for one identifier."""
    parts = text.words(identifier)
    phrase = " ".join(parts)
    size = sum(len(part) for part in parts)
    if size < 3 or all(_is_shared(part) for part in parts):
        return
    lettered = any(character.isalpha() for character in phrase)
    yield _word(phrase) if size >= (4 if lettered else LONG_NUMBER) else f"| {phrase} |"
    if len(parts) > 1 and size >= LONG_NUMBER:
        yield _word("".join(parts))
    for part in text.apart(phrase).split():
        if len(part) >= _LONG_RUN and part.isdigit() and part != phrase and not _is_day(part):
            yield _word(part)


def _is_day(digits: str) -> bool:
    """Whether a number reads as a day; how dates are treated is for the profile to say."""
    return (
        len(digits) == 8
        and digits[:2] in {"19", "20"}
        and 1 <= int(digits[4:6]) <= 12
        and 1 <= int(digits[6:]) <= 31
    )


def of_place(place: str) -> Iterator[str]:
    """Yield needles for an institution's name or an address."""
    parts = text.words(place)
    phrase = " ".join(parts)
    if len(phrase) >= 3 and not all(_is_shared(part) for part in parts):
        yield _word(phrase) if len(phrase) >= 4 else f"| {phrase} |"
        known = vocabulary.shipped()
        yield from (
            _word(part)
            for part in parts
            if len(part) >= _TELLING_WORD and part.isalpha() and not known.holds(part)
        )


def of_telephone(number: str) -> Iterator[str]:
    """Yield needles for a telephone number: as grouped, and as one run of digits."""
    digits = "".join(character for character in number if character.isdigit())
    if len(digits) < LONG_NUMBER:
        return
    yield _word(digits)
    yield _word(" ".join(text.words(number)))
    yield from (_word(part) for part in text.words(number) if len(part) >= _LONG_RUN)


def _digits_of_day(date: str) -> str:
    digits = date.replace(".", "").replace("-", "").strip()
    return digits if len(digits) == 8 and digits.isdigit() and digits != "20000101" else ""


def of_date(date: str) -> Iterator[str]:
    """Yield needles for a DA value as people write it, to be looked for in `dated` text."""
    digits = _digits_of_day(date)
    if digits:
        year, month, day = digits[:4], digits[4:6], digits[6:]
        yield f" {digits}"
        yield _word(f"{day}{month}{year}")
        days, months = day.lstrip("0"), month.lstrip("0")
        for form in ((year, months, days), (days, months, year), (months, days, year)):
            yield _word(" ".join(form))


def of_birth_date(date: str) -> Iterator[str]:
    """Yield needles for a birth date, which is also told by a year of two digits."""
    yield from of_date(date)
    digits = _digits_of_day(date)
    if digits:
        year, month, day = digits[2:4], digits[4:6], digits[6:]
        for form in ((year, month, day), (day, month, year), (month, day, year)):
            yield _word(" ".join(form))
            yield _word("".join(form))


def dated(canonical_text: str) -> str:
    """Write the dates in canonical text in numbers: "| 6 18 1957 |" for "June 18th, 1957".

    Only the order of a date's parts is left open; `of_date` has each.
    """
    months = _months()
    parts = (months.get(part, part) for part in text.apart(canonical_text).split(" "))
    return " ".join(part for part in parts if part not in _FILLERS)
