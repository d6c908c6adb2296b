"""Check an object as it came: UIDs, dates, values and what its IOD requires; words, no values.

Pixel data is neither read nor decoded. A finding says where something is wrong and which rule it
breaks, never what stands there, so findings may be logged and kept as evidence. Nothing here
decides what becomes of the object.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pydicom.charset import CODES_TO_ENCODINGS, python_encoding

from dicom import charset
from dicom.elements import PIXELS, Element, dictionary_vrs, read
from dicom.encoding import LONG_VRS, SHORT_VRS
from dicom.iod.types import Path, iod_of, required
from dicom.meta import read_meta
from dicom.moments import date_of, datetime_of, time_of
from dicom.uid import is_valid

Rule = Literal[
    "age-invalid",
    "charset-unknown",
    "code-invalid",
    "date-invalid",
    "datetime-invalid",
    "empty-type-1",
    "length-wrong",
    "missing-type-1",
    "missing-type-2",
    "number-invalid",
    "order-wrong",
    "text-undecodable",
    "time-invalid",
    "uid-invalid",
    "unknown-sop-class",
    "value-too-long",
    "vr-wrong",
]
Severity = Literal["error", "warning"]

WARNINGS: Final[frozenset[Rule]] = frozenset(
    {"code-invalid", "length-wrong", "missing-type-2", "unknown-sop-class", "value-too-long"}
)
"""Rules that scanners break every day and readers live with; every other one is an error."""
MOST_FINDINGS: Final = 1000
"""Where an object breaks more places than these, the rest is not listed."""

_CHARACTER_SET: Final = 0x0008_0005
_SOP_CLASS: Final = 0x0008_0016
_OF_EVERY_OBJECT: Final[Mapping[int, str]] = {
    _SOP_CLASS: "1",
    0x0008_0018: "1",
    0x0020_000D: "1",
    0x0020_000E: "1",
}
"""SOP Class, SOP Instance, Study and Series: asked for where the IOD is unknown."""
_TABLE: Final = "PS3.5 Table 6.2-1"
_LONGEST: Final[Mapping[str, int]] = {
    **dict.fromkeys(("AE", "CS", "DS", "SH"), 16),
    **dict.fromkeys(("LO", "PN"), 64),
    "AS": 4,
    "IS": 12,
    "LT": 10240,
    "ST": 1024,
}
_ONE_VALUE: Final = frozenset({"LT", "ST", "UR", "UT"})
_SIZES: Final = {"FD": 8, "FL": 4, "SL": 4, "SS": 2, "UL": 4, "US": 2, "AT": 4, "SV": 8, "UV": 8}
_FORMS: Final[Mapping[str, tuple[Rule, str]]] = {
    "AS": ("age-invalid", "[0-9]{3}[DWMY]"),
    "CS": ("code-invalid", "[A-Z0-9 _]+"),
    "DS": ("number-invalid", " *[+-]?(?:[0-9]+\\.?[0-9]*|\\.[0-9]+)(?:[eE][+-]?[0-9]+)? *"),
    "IS": ("number-invalid", " *[+-]?[0-9]+ *"),
}
_FIELDS: Final = {
    vr: re.compile(rf"(?:{form})?(?:\\(?:{form})?)*\0?".encode("ascii"))
    for vr, (_, form) in _FORMS.items()
}
"""A whole value field of several values, so that a long list of numbers is checked at once."""
_ONE: Final = {vr: re.compile(form) for vr, (_, form) in _FORMS.items()}
_INTEGERS: Final = range(-(2**31), 2**31)
_VRS: Final = {vr.decode("ascii") for vr in LONG_VRS | SHORT_VRS}
_MOST_CHECKED: Final = 1 << 20
"""Longer value fields are texts without a limit, or documents; they are not looked into."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that an object breaks at one place."""

    path: str
    """Tags of the enclosing sequences and of the attribute: (gggg,eeee)/(gggg,eeee)."""
    rule: Rule
    words: str
    """What is wrong, for a person; never a value."""

    @property
    def severity(self) -> Severity:
        """Whether the rule's breach is an error or only a warning."""
        return "warning" if self.rule in WARNINGS else "error"


def validate(part10: bytes | memoryview) -> tuple[Finding, ...]:
    """Check a Part 10 file's dataset up to its pixel data; findings in order, each once.

    Values are held against PS3.5 6.2, VRs against PS3.6, presence against the modules that the
    SOP class's IOD always has (PS3.3), in items too. A place stands once per rule, however many
    items break it. Raises CannotUnderstand for what is no Part 10 file, names no transfer syntax
    or cannot be walked to its end; nothing else is raised, whatever the bytes are.
    """
    file = memoryview(part10)
    meta = read_meta(file)
    elements = read(file[meta.dataset_offset :], meta.transfer_syntax_uid)
    check = _Check(_text_of(elements, _SOP_CLASS))
    check.dataset(elements, (), charset.ASCII)
    return tuple(check.found.values())


def summary(findings: tuple[Finding, ...]) -> dict[str, int]:
    """Count findings by rule, the rules in alphabetical order, for logs, events and evidence."""
    return dict(sorted(Counter(finding.rule for finding in findings).items()))


def _text_of(elements: tuple[Element, ...], tag: int) -> str:
    value = next((each.value for each in elements if each.tag == tag), b"")
    return bytes(value).decode("ascii", "replace").strip("\0 ")


@dataclass(slots=True)
class _Check:
    """One object under inspection."""

    sop_class_uid: str
    found: dict[tuple[Path, Rule], Finding] = field(default_factory=dict)

    def note(self, path: Path, rule: Rule, words: str) -> None:
        """Write down a finding, once per place and rule."""
        if (path, rule) not in self.found and len(self.found) < MOST_FINDINGS:
            self.found[path, rule] = Finding("/".join(map(_name, path)), rule, words)

    def dataset(
        self, elements: tuple[Element, ...], outer: Path, declared: charset.Encodings
    ) -> None:
        """Check one dataset: the object's own, or an item's."""
        declared = self._character_set(elements, outer, declared)
        before = -1
        for element in elements:
            tag = element.tag
            if tag <= before:
                self.note((*outer, tag), "order-wrong", "stands twice or behind a higher tag")
            before = tag
            if element.items is not None:
                self._vr(element, outer)
                for item in element.items:
                    self.dataset(item, (*outer, tag), declared)
            elif not tag >> 16 & 1:
                self._element(element, outer, declared)
        self._presence(elements, outer)

    def _character_set(
        self, elements: tuple[Element, ...], outer: Path, inherited: charset.Encodings
    ) -> charset.Encodings:
        own = _find(elements, _CHARACTER_SET)
        if own is None:
            return inherited
        raw = bytes(own.value).decode("latin-1").strip("\0 ")
        terms = tuple(term.strip() for term in raw.split("\\")) if raw else ()
        if not all(term in python_encoding for term in terms):
            words = "names a character set that the standard does not have"
            self.note((*outer, _CHARACTER_SET), "charset-unknown", words)
        return charset.encodings(terms)

    def _presence(self, elements: tuple[Element, ...], outer: Path) -> None:
        wanted = required(self.sop_class_uid, outer)
        if not outer and not iod_of(self.sop_class_uid):
            wanted = _OF_EVERY_OBJECT
            words = "its IOD is not known here; what it requires is not checked"
            self.note((_SOP_CLASS,), "unknown-sop-class", words)
        if not wanted:
            return
        there = {element.tag: element for element in elements}
        for tag, kind in wanted.items():
            element = there.get(tag)
            if element is None:
                rule: Rule = "missing-type-1" if kind == "1" else "missing-type-2"
                self.note((*outer, tag), rule, f"is of type {kind} here and missing")
            elif kind == "1" and _is_empty(element, _judged_by(element)):
                self.note((*outer, tag), "empty-type-1", "is of type 1 here and has no value")

    def _element(self, element: Element, outer: Path, declared: charset.Encodings) -> None:
        vr = self._vr(element, outer)
        path = (*outer, element.tag)
        size = len(element.value)
        if size % 2:
            self.note(path, "length-wrong", "has an odd length (PS3.5 7.1.1)")
        unit = _SIZES.get(vr)
        if unit and size % unit:
            self.note(path, "length-wrong", f"is not made of values of {unit} bytes ({_TABLE})")
        if vr in _CHECKED and 0 < size <= _MOST_CHECKED:
            for rule, words in _of_value(vr, bytes(element.value), declared):
                self.note(path, rule, words)

    def _vr(self, element: Element, outer: Path) -> str:
        """Check the written VR, and say by which one the value is judged."""
        known = dictionary_vrs(element.tag)
        path = (*outer, element.tag)
        if element.vr and element.vr not in _VRS:
            self.note(path, "vr-wrong", "is written with a VR that PS3.5 does not have")
        elif known and element.vr not in known | {"", "UN"}:
            words = f"is written as {element.vr}; PS3.6 has {' or '.join(sorted(known))}"
            self.note(path, "vr-wrong", words)
        return _judged_by(element)


def _find(elements: tuple[Element, ...], tag: int) -> Element | None:
    return next((each for each in elements if each.tag == tag), None)


def _judged_by(element: Element) -> str:
    """Give the written VR; in implicit VR the dictionary's, "UN" where that leaves a choice."""
    if element.vr:
        return element.vr
    known = dictionary_vrs(element.tag)
    return next(iter(known)) if len(known) == 1 else "UN"


def _is_empty(element: Element, vr: str) -> bool:
    if element.items is not None:
        return not element.items and element.vr not in {"OB", "OW"}
    if element.tag in PIXELS:
        return False
    short_text = vr in _CHECKED and len(element.value) <= 64
    return not (bytes(element.value).strip(b"\0 ") if short_text else element.value)


def _of_value(vr: str, raw: bytes, declared: charset.Encodings) -> Iterator[tuple[Rule, str]]:
    """Hold one value field against its VR (PS3.5 Table 6.2-1)."""
    longest = _LONGEST.get(vr)
    localised = vr in charset.LOCALISED
    if localised and not raw.isascii() and not _decodes(raw, declared):
        yield "text-undecodable", "does not fit the declared character sets (PS3.5 6.1)"
    if longest and _is_plainly_right(vr, raw, longest):
        return
    text = charset.decode(raw, declared if localised else charset.ASCII).rstrip("\0")
    for value in [text] if vr in _ONE_VALUE else text.split("\\"):
        if value.strip(" "):
            yield from _of_part(vr, value, longest)


def _is_plainly_right(vr: str, raw: bytes, longest: int) -> bool:
    """Answer quickly for what is short, or well formed throughout."""
    fields = _FIELDS.get(vr)
    if fields is None:
        return len(raw) <= longest
    if (vr == "IS" and len(raw) > 9) or not fields.fullmatch(raw):
        return False
    return len(raw) <= longest or max(map(len, raw.split(b"\\"))) <= longest


def _of_part(vr: str, value: str, longest: int | None) -> Iterator[tuple[Rule, str]]:
    if longest and not _fits(vr, value, longest):
        yield "value-too-long", f"is longer than the {longest} characters of {vr} ({_TABLE})"
    elif vr in _FORMS and not _ONE[vr].fullmatch(value):
        yield _FORMS[vr][0], f"is not written as {vr} ({_TABLE})"
    elif vr == "IS" and int(value) not in _INTEGERS:
        yield "number-invalid", f"is beyond the range of IS ({_TABLE})"
    elif vr in _READERS and not _READERS[vr](value.strip(" ")):
        yield _BROKEN[vr]


def _fits(vr: str, value: str, longest: int) -> bool:
    value = value.strip(" ")
    if vr == "PN":  # the limit is one of each component group (PS3.5 6.2.1.1)
        return all(len(group) <= longest for group in value.split("="))
    return len(value) <= longest


def _decodes(raw: bytes, declared: charset.Encodings) -> bool:
    """Whether text follows its character sets; what is escaped is judged by its escapes alone."""
    if b"\x1b" in raw:
        return all(
            any(rest.startswith(code[1:]) for code in CODES_TO_ENCODINGS)
            for rest in raw.split(b"\x1b")[1:]
        )
    if declared == charset.ASCII:
        return False
    try:
        raw.decode(declared[0])
    except UnicodeError:
        return False
    return True


def _name(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "DA": date_of,
    "DT": datetime_of,
    "TM": lambda text: time_of(text) is not None,
    "UI": is_valid,
}
_BROKEN: Final[Mapping[str, tuple[Rule, str]]] = {
    "DA": ("date-invalid", f"is no date of the calendar as YYYYMMDD ({_TABLE})"),
    "DT": ("datetime-invalid", f"is no moment as YYYYMMDDHHMMSS.FFFFFF&ZZXX ({_TABLE})"),
    "TM": ("time-invalid", f"is no time as HHMMSS.FFFFFF ({_TABLE})"),
    "UI": ("uid-invalid", "is no UID (PS3.5 9.1)"),
}
_CHECKED: Final = frozenset({*_LONGEST, *_READERS, *charset.LOCALISED})
