"""What in an object identifies people: collected from the input, searched for in the output.

The rules, and why they are as they are:

- Names (every PN at every depth; family, given and middle parts): each word of three letters or
  more is searched as a word, so "Lee" is found in "Dr. LEE" and not in "SLEEPING". A shorter
  word counts only as a whole value. Whole names count in both orders, also written as one word.
  Words of scripts without gaps between words are found anywhere. Words that scanners write all
  the time (`table/protocol_words.txt`) count only as part of the whole name, otherwise a patient
  named Head could never have a head scan. Titles and suffixes (Dr, Jr) are no names.
- Identifiers: six characters or more, or four with a letter in them, are searched as words,
  whatever punctuation divides them; shorter ones only as whole values; one or two characters
  not at all, because such a value is shared by too many others to point at anyone.
- Places (institution names, addresses) are searched as whole phrases, telephone numbers by their
  digits, dates in their written forms: the birth date everywhere, other dates in text alone, and
  not at all where they are retained. An institution that is also the manufacturer is a
  factory, not a hospital.
- Placeholders ("ANONYMOUS", "UNKNOWN") name nobody; among them are the dummies written here.
- UIDs: every one that is not the standard's own.

Numbers (DS, IS, binary) are not searched for words: a patient number is no slice thickness.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from deid import text
from deid.parse import Element, every
from deid.table.dictionary import dictionary_vr
from dicom.uid import STANDARD_ROOT

_IDENTIFIERS: Final = frozenset(
    {
        0x0008_0050,  # AccessionNumber
        0x0010_0020,  # PatientID
        0x0010_1000,  # OtherPatientIDs
        0x0010_1090,  # MedicalRecordLocator
        0x0010_1050,  # InsurancePlanIdentification
        0x0012_0040,  # ClinicalTrialSubjectID
        0x0012_0042,  # ClinicalTrialSubjectReadingID
        0x0038_0010,  # AdmissionID
        0x0038_0060,  # ServiceEpisodeID
        0x0040_2016,  # PlacerOrderNumberImagingServiceRequest
        0x0040_2017,  # FillerOrderNumberImagingServiceRequest
    }
)
_PLACES: Final = frozenset(
    {
        0x0008_0080,  # InstitutionName
        0x0008_0081,  # InstitutionAddress
        0x0008_0092,  # ReferringPhysicianAddress
        0x0010_1040,  # PatientAddress
    }
)
_TELEPHONES: Final = frozenset({0x0008_0094, 0x0010_2154, 0x0040_1103})
_BIRTH_DATE: Final = 0x0010_0030
_DATED_VRS: Final = frozenset({"DA", "DT"})
_DATE_KINDS: Final = frozenset({"birth date", "date"})
_PATIENT_GROUP: Final = 0x0010
_MANUFACTURER: Final = 0x0008_0070
_CHARACTER_SET: Final = 0x0008_0005
_MONTHS: Final = (
    "january february march april may june july august september october november december"
)
_PLACEHOLDERS: Final = (
    "anon anonym anonymized anonymised anonymous deidentified empty blank name nameless none null "
    "patient removed test unknown unnamed undefined"
)
_TELLING_UID: Final = 12
"""Shorter UIDs also occur as version numbers; as values of UI every one is checked."""
_TELLING_BYTES: Final = 6
"""Shorter needles occur by chance in binary values."""

Found = tuple[str, str]
"""A needle in canonical form, and the kind of identity that it is."""

_YEAR: Final = re.compile(r"[0-9]{4}")
_DOTTED: Final = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_DOTTED_BYTES: Final = re.compile(rb"[0-9]+(?:\.[0-9]+){3,}")
_ALNUM: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything to search for. Holds patient data: never log it, never put it into a message."""

    needles: tuple[Found, ...]
    """Substrings of canonical text."""
    raw: tuple[tuple[bytes, str], ...]
    """Long needles as lower-case bytes in each encoding involved, for bytes of any kind."""
    uids: frozenset[str]
    """UIDs that must not survive."""
    dates: tuple[Found, ...] = ()
    """Needles for dates; each has a year of four digits."""
    days: frozenset[str] = frozenset()
    """The same dates as DA writes them."""

    def in_text(self, values: Iterable[str], *, dates: bool = True) -> str:
        """Name the kind of identity found in the values of one attribute; "" for none.

        Without `dates` a date is no identity: for attributes that hold moved or retained ones.
        """
        values = tuple(values)
        canonical = text.canonical(values)
        for needle, kind in self.needles:
            if needle in canonical:
                return kind
        if dates and _YEAR.search(canonical):
            for needle, kind in self.dates:
                if needle in canonical:
                    return kind
        dotted = (each for value in values if "." in value for each in _DOTTED.findall(value))
        return "UID" if any(self.names_uid(each) for each in dotted) else ""

    def in_bytes(self, data: bytes) -> str:
        """Name the kind of identity found in encoded bytes of any kind; "" for none."""
        lower = data.lower()
        for needle, kind in self.raw:
            start = lower.find(needle)
            while start >= 0:
                around = lower[max(start - 1, 0) : start] + lower[start + len(needle) :][:1]
                if not _ALNUM.intersection(around):
                    return kind
                start = lower.find(needle, start + 1)
        dotted = (each.decode("ascii") for each in _DOTTED_BYTES.findall(data))
        return "UID" if any(self.names_uid(each) for each in dotted) else ""

    def names_uid(self, dotted: str) -> bool:
        """Whether a dotted number is an original UID, or one with more components behind it."""
        while dotted.count(".") >= 2:
            if dotted in self.uids and len(dotted) >= _TELLING_UID:
                return True
            dotted = dotted.rpartition(".")[0]
        return False


@cache
def placeholders() -> frozenset[str]:
    """Say which words stand in for a name; they identify nobody."""
    return frozenset(_PLACEHOLDERS.split())


@cache
def protocol_words() -> frozenset[str]:
    """Read the words that identify nobody by themselves."""
    lines = (files("deid.table") / "protocol_words.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


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


def name_needles(name: str) -> Iterator[str]:
    """Yield needles for one value of PN (PS3.5 6.2.1)."""
    for phrase in _name_phrases(name):
        for form in {phrase} | text.plain(phrase):
            long_enough = len(form) >= (3 if text.has_word_gaps(form) else 2)
            yield _word(form) if long_enough else f"| {form} |"


def identifier_needles(identifier: str) -> Iterator[str]:
    """Yield needles for one identifier."""
    parts = text.words(identifier)
    phrase = " ".join(parts)
    size = sum(len(part) for part in parts)
    if size < 3 or all(_is_shared(part) for part in parts):
        return
    lettered = any(character.isalpha() for character in phrase)
    yield _word(phrase) if size >= (4 if lettered else 6) else f"| {phrase} |"
    if len(parts) > 1 and size >= 6:
        yield _word("".join(parts))


def place_needles(place: str) -> Iterator[str]:
    """Yield the needle for an institution's name or an address."""
    parts = text.words(place)
    phrase = " ".join(parts)
    if len(phrase) >= 3 and not all(_is_shared(part) for part in parts):
        yield _word(phrase) if len(phrase) >= 4 else f"| {phrase} |"


def telephone_needles(number: str) -> Iterator[str]:
    """Yield needles for a telephone number: as grouped, and as one run of digits."""
    digits = "".join(character for character in number if character.isdigit())
    if len(digits) >= 6:
        yield _word(digits)
        yield _word(" ".join(text.words(number)))


def birth_date_needles(date: str) -> Iterator[str]:
    """Yield a DA value in the forms that people write (the year last, first, in words)."""
    digits = date.replace(".", "").replace("-", "").strip()
    if len(digits) != 8 or not digits.isdigit() or digits == "20000101":
        return
    year, month, day = digits[:4], digits[4:6], digits[6:]
    yield f" {digits}"
    yield f" {day}{month}{year} "
    for days, months in {(day, month), (day.lstrip("0"), month.lstrip("0"))}:
        for form in ((year, months, days), (days, months, year), (months, days, year)):
            yield _word(" ".join(form))
        if 1 <= int(month) <= 12:
            long = _MONTHS.split()[int(month) - 1]
            for written in (long, long[:3]):
                yield _word(f"{days} {written} {year}")
                yield _word(f"{written} {days} {year}")


_RULES: Final[tuple[tuple[frozenset[int], str, Callable[[str], Iterator[str]]], ...]] = (
    (_IDENTIFIERS, "identifier", identifier_needles),
    (_PLACES, "place", place_needles),
    (_TELEPHONES, "telephone number", telephone_needles),
    (frozenset({_BIRTH_DATE}), "birth date", birth_date_needles),
)


def _decoded(value: bytes, by: tuple[str, ...]) -> set[str]:
    """Decode a value in its declared character set, and in UTF-8 where it is that by mistake."""
    found: set[str] = set()
    for attempt in (by, ("utf-8",)):
        try:
            found.add(text.decode(value, attempt))
        except UnicodeError:
            continue
    return found or {value.decode("latin-1")}


def _of_element(element: Element, by: tuple[str, ...]) -> Iterator[Found]:
    if element.items is not None:
        return
    if element.tag != _BIRTH_DATE and dictionary_vr(element.tag) in _DATED_VRS:
        for part in bytes(element.value).decode("ascii", "replace").split("\\"):
            yield from ((needle, "date") for needle in birth_date_needles(part.strip()[:8]))
        return
    rules = [(kind, needles) for tags, kind, needles in _RULES if element.tag in tags]
    if not rules and "PN" in {element.vr, dictionary_vr(element.tag)}:
        rules = [("name", name_needles)]
    if not rules:
        return
    value = bytes(element.value).rstrip(b"\0 ")
    for kind, needles in rules:
        for decoded in _decoded(value, by):
            for part in decoded.split("\\"):
                yield from ((needle, kind) for needle in needles(part.strip()))


@dataclass(frozen=True, slots=True)
class Stays:
    """What a profile keeps on purpose, and what therefore is no identity to search for."""

    uids: frozenset[int]
    """Tags whose UIDs stay, such as SOPClassUID."""
    all_uids: bool = False
    tags: frozenset[int] = frozenset()
    """Tags whose values stay by an option or an exception."""
    dates: bool = False
    """Whether every date stays as it is, but for the birth date."""
    dated: bool = False
    """Whether attributes hold dates at all, moved or retained ones."""
    all_moved: bool = False
    """Whether every date that is there has moved."""


def _walk(elements: tuple[Element, ...], by: tuple[str, ...]) -> Iterator[tuple[int, Found]]:
    """Yield each needle with the tag that it comes from."""
    own = next((each for each in elements if each.tag == _CHARACTER_SET), None)
    if own is not None:
        by = text.codecs(bytes(own.value))
    for element in elements:
        if element.tag >> 16 & 1:
            continue
        for found in _of_element(element, by):
            yield element.tag, found
        for item in element.items or ():
            yield from _walk(item, by)


def _found(elements: tuple[Element, ...], stays: Stays) -> dict[str, str]:
    """Collect needles with their kinds, but for those of attributes that stay.

    What stays may stand elsewhere as well: a date, a hospital. The patient module's own needles
    are never given up for that: a hospital may be called like the patient.
    """
    patient: dict[str, str] = {}
    others: dict[str, str] = {}
    spared: set[Found] = set()
    for tag, (needle, kind) in _walk(elements, text.DEFAULT_CODECS):
        if tag in stays.tags:
            spared.add((needle, kind))
        elif tag >> 16 == _PATIENT_GROUP:
            patient[needle] = kind
        else:
            others[needle] = kind
    return {
        needle: kind for needle, kind in others.items() if (needle, kind) not in spared
    } | patient


def _raw(found: Iterable[Found], by: Iterable[str]) -> Iterator[tuple[bytes, str]]:
    """Encode single-word needles that are long enough to mean something among any bytes."""
    for needle, kind in found:
        phrase = needle.strip("| ")
        if " " in phrase:
            continue
        for codec in by:
            encoded = phrase.encode(codec, "ignore").lower()
            if len(encoded) >= _TELLING_BYTES:
                yield encoded, kind


def _uids(elements: tuple[Element, ...], kept: frozenset[int]) -> frozenset[str]:
    """Collect the UIDs that must not survive: all but the standard's and those of `kept` tags."""
    foreign: set[str] = set()
    spared: set[str] = set()
    for element in every(elements):
        if element.vr == "UI" or dictionary_vr(element.tag) == "UI":
            found = spared if element.tag in kept else foreign
            found.update(uid_values(bytes(element.value)))
    return frozenset(uid for uid in foreign - spared if not uid.startswith(STANDARD_ROOT))


def uid_values(value: bytes) -> list[str]:
    """Split a value of UI into its UIDs, padding removed; "" stands for an empty one."""
    return [part.strip("\0 ") for part in value.decode("ascii", "replace").split("\\")]


def collect(elements: tuple[Element, ...], stays: Stays) -> Identity:
    """Collect the identity in a whole dataset, removed parts included (private ones are opaque).

    What the profile keeps is not searched for, wherever else it stands as well. Raises DeidFault
    for an unknown character set at any depth.
    """
    by = {"utf-8"}
    for element in every(elements):
        if element.tag == _CHARACTER_SET:
            by.update(text.codecs(bytes(element.value)))
    found = _found(elements, stays)
    maker = next((each for each in elements if each.tag == _MANUFACTURER), None)
    if maker is not None:
        factory = _word(" ".join(text.words(bytes(maker.value).decode("latin-1"))))
        if found.get(factory) == "place":
            del found[factory]
    needles = tuple(each for each in found.items() if each[1] not in _DATE_KINDS)
    birth = tuple(each for each in found.items() if each[1] == "birth date")
    others = tuple(each for each in found.items() if each[1] == "date" and not stays.dates)
    raw = dict(_raw(needles + (() if stays.dated else birth), sorted(by)))
    uids = frozenset[str]() if stays.all_uids else _uids(elements, stays.uids) - {""}
    dates = birth + others
    days = frozenset(needle[1:] for needle, _ in dates if _is_day(needle))
    return Identity(needles, tuple(raw.items()), uids, dates, days)


def _is_day(needle: str) -> bool:
    """Whether a date's needle is the one with year, month and day in one."""
    return needle.startswith(" ") and needle[1:].isdigit() and not needle.endswith(" ")
