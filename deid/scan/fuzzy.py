"""Find words in what OCR has read, letting it err in one letter of a longer word."""

from collections.abc import Iterable
from typing import Final

from deid.scan.spellings import spellings
from deid.scan.texts import TextSearch, fold
from deid.scan.wanted import Kind, Wanted

_ALIKE: Final = str.maketrans("oilszbq", "0115289")
"""Letters and digits that OCR takes for one another."""
_FEWEST: Final = 6
_FEWEST_DIGITS: Final = 8


class ReadSearch:
    """Finds lines of the identity file in text that was read from pixels."""

    def __init__(self, wanted: Iterable[Wanted]) -> None:
        wanted = tuple(wanted)
        self._exact = TextSearch(wanted)
        self._forms = [
            (each, form) for each in wanted if each.kind is not Kind.UID for form in _forms(each)
        ]

    def find(self, lines: Iterable[str]) -> set[Wanted]:
        """Give the lines of the identity file that occur in lines of read text."""
        lines = list(lines)
        read = "\n".join(lines)
        found = self._exact.find(read)
        alike = fold(read).replace(" ", "").translate(_ALIKE)
        return found | {each for each, form in self._forms if occurs(form, alike)}


def _forms(wanted: Wanted) -> set[str]:
    found = set[str]()
    for spelling in spellings(wanted):
        form = fold(spelling).replace(" ", "")
        if len(form) >= (_FEWEST_DIGITS if form.isdigit() else _FEWEST):
            found.add(form.translate(_ALIKE))
    return found


def occurs(form: str, text: str) -> bool:
    """Whether a form stands somewhere in a text, with one letter wrong, missing or too many.

    One error spares one half of the form: where neither half occurs, the form does not.
    """
    if form in text:
        return True
    half = len(form) // 2
    if form[:half] not in text and form[half:] not in text:
        return False
    return any(
        _within_one(form, text[start : start + size])
        for start in range(len(text))
        for size in (len(form) - 1, len(form), len(form) + 1)
    )


def _within_one(one: str, other: str) -> bool:
    """Whether two words differ by one letter at most."""
    if abs(len(one) - len(other)) > 1:
        return False
    same = 0
    while same < min(len(one), len(other)) and one[same] == other[same]:
        same += 1
    rest, other_rest = one[same:], other[same:]
    return rest[1:] == other_rest[1:] or rest == other_rest[1:] or rest[1:] == other_rest
