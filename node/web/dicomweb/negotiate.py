"""Choose what to answer with: the Accept header against what there is (PS3.18 8.7)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from dicom.errors import CannotUnderstand
from dicom.transcode import EXPLICIT_LITTLE, substitutes

DICOM: Final = "application/dicom"
OCTETS: Final = "application/octet-stream"
MULTIPART: Final = "multipart/related"
ANY: Final = "*"

_MOST_BYTES: Final = 16 << 10
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  (RFC 9110 5.6.2, no secret)
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_MEDIA: Final = re.compile(rf"\s*({_TOKEN})/({_TOKEN})\s*")
_PARAMETER: Final = re.compile(rf";\s*(?:({_TOKEN})\s*=\s*({_TOKEN}(?:/{_TOKEN})?|{_QUOTED})\s*)?")
_WEIGHT: Final = re.compile(r"0(\.[0-9]*)?|1(\.0*)?|\.[0-9]+")
_UID_OR_ANY: Final = re.compile(r"\*|[0-9.]{1,64}")

LOSSY: Final = frozenset(
    f"1.2.840.10008.1.2.4.{number}"
    for number in (
        "50", "51", "81", "91", "93", "100", "100.1", "101", "101.1", "102", "102.1", "103",
        "103.1", "104", "104.1", "105", "105.1", "106", "106.1", "107", "108", "112", "203",
    )
)  # fmt: skip
"""What may have lost something when it was compressed: given as it is, unless asked otherwise."""

_JPEG, _JLS, _JP2, _JPX, _JPHC = "image/jpeg", "image/jls", "image/jp2", "image/jpx", "image/jphc"
_BY_TYPE: Final[Mapping[str, tuple[str, ...]]] = {
    _JPEG: ("4.70", "4.50", "4.51", "4.57"),
    _JLS: ("4.80", "4.81"),
    _JP2: ("4.90", "4.91"),
    _JPX: ("4.92", "4.93"),
    _JPHC: ("4.201", "4.202", "4.203"),
    "image/jxl": ("4.110", "4.111", "4.112"),
    "image/dicom-rle": ("5",),
    "video/mpeg": ("4.100", "4.100.1", "4.101", "4.101.1"),
    "video/mp4": ("4.102", "4.102.1", "4.103", "4.103.1", "4.104", "4.104.1", "4.105", "4.105.1",
                  "4.106", "4.106.1"),
    "video/H265": ("4.107", "4.108"),
}  # fmt: skip
COMPRESSED: Final[Mapping[str, str]] = {
    f"1.2.840.10008.1.2.{ending}": media
    for media, endings in _BY_TYPE.items()
    for ending in endings
}
"""The media type of a frame by its transfer syntax (PS3.18 Tables 8.7.3-3 and 8.7.3-4)."""
_ALSO: Final[Mapping[str, str]] = {
    "image/x-dicom-rle": "image/dicom-rle",
    "image/x-jls": _JLS,
    "image/jph": _JPHC,
    "image/jpg": _JPEG,
}
"""Names that were used before, or are mistaken for the right ones."""


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One thing that a client takes."""

    type: str
    """"multipart/related", "image/*", "*/*"; in small letters."""
    inner: str = ""
    """For a multipart: the type of its parts; "" where it does not say."""
    syntax: str = ""
    """"transfer-syntax": a UID, "*", or "" where it does not say."""
    q: float = 1.0

    @property
    def is_multipart(self) -> bool:
        """Whether it asks for a body of parts."""
        return self.type == MULTIPART

    def takes(self, media_type: str, *, multipart: bool) -> bool:
        """Whether it takes a representation of this type, in parts or alone."""
        if self.type == "*/*":
            return True
        if self.is_multipart != multipart:
            return False
        return not (wanted := self.inner if multipart else self.type) or _fits(wanted, media_type)


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to answer."""

    media_type: str
    multipart: bool = False
    syntax: str = ""
    """The transfer syntax that it would be in; "" where there is none to speak of."""
    only_if_named: bool = False
    """Whether it is for those alone who ask for this transfer syntax, or for any."""


def parse(accept: str) -> tuple[MediaRange, ...]:
    """Read an Accept header, what is liked best first; what is not wanted at all is left out.

    An empty one takes everything. Raises CannotUnderstand where it breaks RFC 9110 12.5.1.
    """
    if not accept.strip():
        return (MediaRange("*/*"),)
    if len(accept) > _MOST_BYTES:
        raise CannotUnderstand(f"the Accept header has more than {_MOST_BYTES} bytes")
    found = [one for one in _ranges(accept) if one.q > 0]
    return tuple(sorted(found, key=lambda one: (-one.q, one.type == "*/*")))


def pick(ranges: Sequence[MediaRange], offers: Sequence[Offer]) -> Offer | None:
    """Choose the first offer that the best liked range takes; None where nothing fits."""
    for wanted in ranges:
        for offer in offers:
            if wanted.takes(offer.media_type, multipart=offer.multipart) and _agrees(wanted, offer):
                return offer
    return None


def wishes(ranges: Sequence[MediaRange], *, multipart: bool) -> tuple[tuple[str, ...], ...]:
    """List the transfer syntaxes that are taken for objects, groups of equal weight, best first.

    "" stands for the default and "*" for any; who takes every media type takes any after it.
    """
    groups: list[tuple[str, ...]] = []
    fitting = [one for one in ranges if one.takes(DICOM, multipart=multipart)]
    for _, group in groupby(fitting, key=lambda one: (one.q, one.type == "*/*")):
        listed = list(group)
        groups.append(tuple(one.syntax for one in listed))
        if any(one.type == "*/*" or one.inner == "*/*" for one in listed):
            groups.append((ANY,))
    return tuple(groups)


def syntax_for(stored: str, wished: Sequence[Sequence[str]]) -> str | None:
    """Say in which transfer syntax to give an object; None where none that is taken can be made.

    The default is Explicit VR Little Endian, but what may have lost something stays as it is
    (PS3.18 8.7.3.5.2); within a group, what needs no work comes first.
    """
    possible = substitutes(stored)
    for group in wished:
        if ANY in group or stored in group or ("" in group and stored in LOSSY):
            return stored
        for wish in group:
            asked = wish or EXPLICIT_LITTLE
            if asked == stored or asked in possible:
                return asked
    return None


def _agrees(wanted: MediaRange, offer: Offer) -> bool:
    if wanted.syntax:
        return wanted.syntax in {ANY, offer.syntax}
    return not offer.only_if_named


def _fits(wanted: str, media_type: str) -> bool:
    wanted = _ALSO.get(wanted, wanted)
    kind, _, sub = wanted.partition("/")
    if sub in {ANY, ""}:
        return kind == ANY or media_type.lower().startswith(kind + "/")
    return wanted == media_type.lower()


def _ranges(accept: str) -> Iterator[MediaRange]:
    at = 0
    while at < len(accept):
        if accept[at] in ", \t":
            at += 1
            continue
        media = _MEDIA.match(accept, at)
        if media is None:
            raise _broken()
        parameters, at = _parameters(accept, media.end())
        if at < len(accept) and accept[at] != ",":
            raise _broken()
        yield _range(f"{media[1]}/{media[2]}".lower(), parameters)


def _parameters(accept: str, at: int) -> tuple[dict[str, str], int]:
    found: dict[str, str] = {}
    while parameter := _PARAMETER.match(accept, at):
        at = parameter.end()
        name, value = parameter.groups()
        if name:
            plain = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
            found.setdefault(name.lower(), plain.strip())
    return found, at


def _range(media: str, parameters: Mapping[str, str]) -> MediaRange:
    weight, syntax = parameters.get("q", "1"), parameters.get("transfer-syntax", "")
    if not _WEIGHT.fullmatch(weight):
        raise CannotUnderstand("the Accept header has a q that is no number from 0 to 1")
    if syntax and not _UID_OR_ANY.fullmatch(syntax):
        raise CannotUnderstand("the Accept header has a transfer-syntax that is no UID")
    return MediaRange(media, parameters.get("type", "").lower(), syntax, float(weight))


def _broken() -> CannotUnderstand:
    return CannotUnderstand("the Accept header cannot be read: give media types, split by commas")
