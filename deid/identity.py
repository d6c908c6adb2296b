"""What in an object identifies people: collected from the input, searched for in the output.

Names are those of every PN at every depth. How they, numbers, places and dates become needles says
`needles`; the birth date is searched everywhere, other dates in text alone, and not at all where
they are retained. An institution that is also the manufacturer is a factory, not a hospital. UIDs
are all but the standard's own.

A search looks for a needle between words; for long ones also inside words and over gaps
("CT_ZylandergrafHead", "Zylander-graf"), and beside digits ("SMITH2", "PAT0004482913"). It does
not see through codes: base64, spelling backwards, other transliterations.

Numbers (DS, IS, binary) are not searched for words: a patient number is no slice thickness.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from deid import needles, text
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
_INSTANCES: Final = frozenset(
    {0x0008_0018, 0x0008_1155, 0x0020_000D, 0x0020_000E, 0x0020_0052, 0x3006_00C2}
)
"""UIDs of objects, referenced objects, studies, series and frames of reference."""
_TELLING_UID: Final = 12
"""Shorter UIDs also occur as version numbers; as values of UI every one is checked."""
_TELLING_BYTES: Final = 6
"""Shorter needles occur by chance in binary values."""

Found = tuple[str, str]
"""A needle in canonical form, and the kind of identity that it is."""

_DATED: Final = re.compile("[0-9]{4}|[0-9]{2} [0-9]{2} [0-9]{2}")
"""Text without this holds no date."""
_DIGIT: Final = re.compile("[0-9]")
_GAP_IN_NUMBER: Final = re.compile("(?<=[0-9]) (?=[0-9])")
_DOTTED: Final = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_DOTTED_BYTES: Final = re.compile(rb"[0-9]+(?:\.[0-9]+){3,}")
_ALNUM: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz")
_FLAT: Final = bytes(
    ord(chr(byte).lower()) if byte > 0x7F or byte < 0x20 or chr(byte).isalnum() else 0x20
    for byte in range(0x80)
) + bytes(range(0x80, 0x100))
"""Lower case, and punctuation of ASCII as spaces, so that a phrase is found whatever divides it."""
_SHORTEST_APART: Final = 4
"""Letters of a word that is looked for beside digits."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything to search for. Holds patient data: never log it, never put it into a message."""

    needles: tuple[Found, ...]
    """Substrings of canonical text."""
    raw: tuple[tuple[bytes, str], ...]
    """Long needles as `_flat` bytes in each encoding involved, for bytes of any kind."""
    uids: frozenset[str]
    """UIDs that must not survive."""
    dates: tuple[Found, ...] = ()
    """Needles for dates."""
    days: frozenset[str] = frozenset()
    """The same dates as DA writes them."""
    _dense: tuple[Found, ...] = field(init=False, repr=False)
    """Long needles without spaces, for text without spaces."""
    _apart: tuple[Found, ...] = field(init=False, repr=False)
    """Needles in which numbers are set apart, for text in which they are."""

    def __post_init__(self) -> None:
        phrases = [(needle.strip("| "), kind) for needle, kind in self.needles]
        dense = ((phrase.replace(" ", ""), kind) for phrase, kind in phrases)
        apart = ((f" {text.apart(phrase)} ", kind) for phrase, kind in phrases if _is_told(phrase))
        object.__setattr__(self, "_dense", tuple(each for each in dense if _is_long(each[0])))
        object.__setattr__(self, "_apart", tuple(apart))

    def in_text(self, values: Iterable[str], *, dates: bool = True) -> str:
        """Name the kind of identity found in the values of one attribute; "" for none.

        Without `dates` a date is no identity: for attributes that hold moved or retained ones.
        """
        values = tuple(values)
        canonical = text.canonical(values)
        if not canonical.isascii():
            canonical += "".join(f" {each}" for each in text.plain(canonical))
        kind = _first(self.needles, canonical) or _first(self._dense, canonical.replace(" ", ""))
        if not kind and _DIGIT.search(canonical):
            kind = self._beside_digits(canonical, dates=dates)
        if kind:
            return kind
        dotted = (each for value in values if "." in value for each in _DOTTED.findall(value))
        return "UID" if any(self.names_uid(each) for each in dotted) else ""

    def _beside_digits(self, canonical: str, *, dates: bool) -> str:
        """Search text that holds digits: numbers however they are grouped, and dates."""
        apart = text.apart(canonical)
        grouped = _GAP_IN_NUMBER.sub("", canonical)
        if grouped != canonical:
            apart += text.apart(grouped)
        kind = _first(self._apart, apart)
        if not kind and dates and self.dates and _DATED.search(canonical):
            kind = _first(self.dates, canonical) or _first(self.dates, needles.dated(canonical))
        return kind

    def in_bytes(self, data: bytes) -> str:
        """Name the kind of identity found in encoded bytes of any kind; "" for none."""
        flat = data.translate(_FLAT)
        for needle, kind in self.raw:
            start = flat.find(needle)
            while start >= 0:
                end = start + len(needle)
                around = flat[max(start - 1, 0) : start] + flat[end : end + 1]
                if not _ALNUM.intersection(around):
                    return kind
                start = flat.find(needle, start + 1)
        dotted = (each.decode("ascii") for each in _DOTTED_BYTES.findall(data))
        return "UID" if any(self.names_uid(each) for each in dotted) else ""

    def names_uid(self, dotted: str) -> bool:
        """Whether a dotted number is an original UID, or one with more components behind it."""
        while dotted.count(".") >= 2:
            if dotted in self.uids and len(dotted) >= _TELLING_UID:
                return True
            dotted = dotted.rpartition(".")[0]
        return False


def _first(wanted: tuple[Found, ...], where: str) -> str:
    """Name the kind of the first needle that is there; "" for none."""
    for needle, kind in wanted:
        if needle in where:
            return kind
    return ""


def _is_long(phrase: str) -> bool:
    """Whether a phrase without spaces occurs inside no other word by chance."""
    least = needles.LONG if text.has_word_gaps(phrase) else needles.LONG // 2
    return len(phrase) >= least and not phrase.isdigit()


def _is_told(phrase: str) -> bool:
    """Whether a phrase is looked for beside digits, too; short codes are found too often."""
    if phrase.isalpha():
        return text.has_word_gaps(phrase) and len(phrase) >= _SHORTEST_APART
    return len(phrase) >= needles.LONG_NUMBER


_RULES: Final[tuple[tuple[frozenset[int], str, Callable[[str], Iterator[str]]], ...]] = (
    (_IDENTIFIERS, "identifier", needles.of_identifier),
    (_PLACES, "place", needles.of_place),
    (_TELEPHONES, "telephone number", needles.of_telephone),
    (frozenset({_BIRTH_DATE}), "birth date", needles.of_birth_date),
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
            yield from ((needle, "date") for needle in needles.of_date(part.strip()[:8]))
        return
    rules = [(kind, forms) for tags, kind, forms in _RULES if element.tag in tags]
    if not rules and "PN" in {element.vr, dictionary_vr(element.tag)}:
        rules = [("name", needles.of_name)]
    if not rules:
        return
    value = bytes(element.value).rstrip(b"\0 ")
    for kind, forms in rules:
        for decoded in _decoded(value, by):
            for part in decoded.split("\\"):
                yield from ((needle, kind) for needle in forms(part.strip()))


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
    are never given up for that: a hospital may be called like the patient. Its places are: patient
    and hospital may share a town.
    """
    patient: dict[str, str] = {}
    others: dict[str, str] = {}
    spared: set[Found] = set()
    for tag, (needle, kind) in _walk(elements, text.DEFAULT_CODECS):
        if tag in stays.tags:
            spared.add((needle, kind))
        elif tag >> 16 == _PATIENT_GROUP and kind != "place":
            patient[needle] = kind
        else:
            others[needle] = kind
    return {
        needle: kind for needle, kind in others.items() if (needle, kind) not in spared
    } | patient


def _raw(found: Iterable[Found], by: Iterable[str]) -> Iterator[tuple[bytes, str]]:
    """Encode needles that are long enough to mean something among any bytes; also as UTF-16."""
    for needle, kind in found:
        phrase = needle.strip("| ")
        encodings = [phrase.encode(codec, "ignore") for codec in by]
        # Without the last NUL it is found in either byte order, and what follows it counts.
        encodings.append(phrase.encode("utf-16-le")[:-1] if phrase.isascii() else b"")
        for encoded in encodings:
            if len(encoded) >= _TELLING_BYTES:
                yield encoded.translate(_FLAT), kind


def _uids(elements: tuple[Element, ...], kept: frozenset[int]) -> frozenset[str]:
    """Collect the UIDs that must not survive: all but the standard's and those of `kept` tags.

    What names this very patient's objects is never given up because it stands in a kept tag, too:
    an object's own UID as the UID of a class or a coding scheme would leave with it.
    """
    foreign: set[str] = set()
    spared: set[str] = set()
    instances: set[str] = set()
    for element in every(elements):
        if element.vr == "UI" or dictionary_vr(element.tag) == "UI":
            values = uid_values(bytes(element.value))
            (spared if element.tag in kept else foreign).update(values)
            if element.tag in _INSTANCES - kept:
                instances.update(values)
    lost = foreign - (spared - instances)
    return frozenset(uid for uid in lost if not uid.startswith(STANDARD_ROOT))


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
        words = text.words(bytes(maker.value).decode("latin-1"))
        factory = {*words, "".join(words)}
        found = {
            needle: kind
            for needle, kind in found.items()
            if kind != "place" or needle.strip("| ").replace(" ", "") not in factory
        }
    wanted = tuple(each for each in found.items() if each[1] not in _DATE_KINDS)
    birth = tuple(each for each in found.items() if each[1] == "birth date")
    others = tuple(each for each in found.items() if each[1] == "date" and not stays.dates)
    in_one = () if stays.dated else tuple(each for each in birth if _is_in_one(each[0]))
    raw = dict(_raw(wanted + in_one, sorted(by)))
    uids = frozenset[str]() if stays.all_uids else _uids(elements, stays.uids) - {""}
    dates = birth + others
    days = frozenset(needle[1:] for needle, _ in dates if _is_day(needle))
    return Identity(wanted, tuple(raw.items()), uids, dates, days)


def _is_in_one(needle: str) -> bool:
    """Whether a date's needle is a day with its whole year in one run of digits."""
    return len(needle.strip()) == len("YYYYMMDD") and needle.strip().isdigit()


def _is_day(needle: str) -> bool:
    """Whether a date's needle is the one with year, month and day in one."""
    return needle.startswith(" ") and needle[1:].isdigit() and not needle.endswith(" ")
