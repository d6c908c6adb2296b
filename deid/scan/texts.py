"""Search decoded text for identity, whatever its case, accents, punctuation and order of words."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from deid.scan.spellings import spellings
from deid.scan.wanted import Kind, Wanted

_ANYWHERE: Final = 6
"""So many letters mean something also inside a longer word."""
_RUN_TOGETHER: Final = 8
"""So many are also searched where the spaces between words are gone."""
_DIGITS: Final = re.compile(r"\d(?:[ ()/.\-]{0,2}\d)+")
_FEWEST_DIGITS: Final = 6
_FEWEST_LETTERS: Final = 3
_NOT_WORD: Final = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """Bring text into the form in which it is compared: lower case, no accents, single spaces."""
    # By way of upper case, because some letters share theirs (a dotless i, a long s).
    split = unicodedata.normalize("NFKD", text.upper().casefold())
    plain = "".join(c for c in split if not unicodedata.combining(c))
    return _NOT_WORD.sub(" ", plain.casefold()).strip()


@dataclass(frozen=True, slots=True)
class _Forms:
    """One line's forms, folded."""

    wanted: Wanted
    spaced: frozenset[str] = field(repr=False)
    """Searched in text with a space at both ends."""
    together: frozenset[str] = field(repr=False)
    """Searched in text without spaces."""
    whole: frozenset[str] = field(repr=False)
    """Too short to be searched for: compared with whole values."""
    digits: str = field(repr=False)
    """Searched in numbers whose groups were joined; "" for none."""


class TextSearch:
    """Finds lines of the identity file in text."""

    def __init__(self, wanted: Iterable[Wanted]) -> None:
        wanted = tuple(wanted)
        self._forms = [_forms(each) for each in wanted if each.kind is not Kind.UID]
        self._has_whole = any(forms.whole for forms in self._forms)
        self._uids = [
            (each, re.compile(rf"(?<![\d.]){re.escape(each.text)}(?!\d)"))
            for each in wanted
            if each.kind is Kind.UID
        ]

    def find(self, text: str) -> set[Wanted]:
        """Give the lines that occur in a text."""
        found = {each for each, pattern in self._uids if pattern.search(text)}
        folded = fold(text)
        spaced, together = f" {folded} ", folded.replace(" ", "")
        values = {folded, *map(fold, text.split("\\"))} if self._has_whole else ()
        numbers = ["".join(c for c in run if c.isdigit()) for run in _DIGITS.findall(text)]
        for forms in self._forms:
            if (
                not forms.whole.isdisjoint(values)
                or any(form in spaced for form in forms.spaced)
                or any(form in together for form in forms.together)
                or (forms.digits and any(forms.digits in number for number in numbers))
            ):
                found.add(forms.wanted)
        return found


def _forms(wanted: Wanted) -> _Forms:
    spaced, together, whole = set[str](), set[str](), set[str]()
    for spelling in spellings(wanted):
        form = fold(spelling)
        letters = form.replace(" ", "")
        if not letters:
            continue
        if _is_short(letters):
            whole.add(form)
        elif wanted.kind is Kind.DATE:
            spaced.add(f" {form}")  # a time may follow without a gap
        elif not form.isascii() or (len(letters) >= _ANYWHERE and not letters.isdigit()):
            spaced.add(form)
        else:
            spaced.add(f" {form} ")
        if len(letters) >= _RUN_TOGETHER and not letters.isdigit():
            together.add(letters)
    return _Forms(wanted, frozenset(spaced), frozenset(together), frozenset(whole), _digits(wanted))


def _is_short(letters: str) -> bool:
    """Whether a form would be found by chance; a sign of another script says more than a letter."""
    if letters.isdigit():
        return len(letters) < _FEWEST_DIGITS
    return len(letters) < (_FEWEST_LETTERS if letters.isascii() else 2)


def _digits(wanted: Wanted) -> str:
    """Give the digits of a number that people divide into groups as they please."""
    if wanted.kind not in {Kind.PHONE, Kind.ID} or any(c.isalpha() for c in wanted.text):
        return ""
    digits = "".join(c for c in wanted.text if c.isdigit())
    if wanted.kind is Kind.PHONE:
        digits = digits.lstrip("0")
    return digits if len(digits) >= _FEWEST_DIGITS + 1 else ""
