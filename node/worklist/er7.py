r"""Read HL7 v2 messages in their encoding with bars (HL7 2.5.1 chapter 2), and write answers; pure.

Reading is forgiving where senders are careless (line feeds, missing fields, short segments) and
never guesses where a guess could name a wrong patient: text that is not of its character set is a
fault.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from config.worklist_checks import HL7_CHARSETS

_SEGMENT_END: Final = re.compile(rb"[\r\n]+")
_ESCAPED: Final = r"{0}([^{0}\r]{{0,64}}){0}"
_MOST_SEGMENTS: Final = 10_000
_STANDARD: Final = "|^~\\&"
_HIDDEN: Final = '""'
"""A field that says that there is no value."""


class NotHl7(ValueError):  # noqa: N818  (named as what it says)
    """The message cannot be read; `code` is of HL7 table 0357, and the words hold no value."""

    def __init__(self, code: int, words: str) -> None:
        self.code = code
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Signs:
    """The signs that separate the parts of a message, as MSH-1 and MSH-2 give them."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    part: str = "&"
    encoding: str = "ascii"
    """Python's name of the message's character set: bytes in an escape are of it."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment; fields count from 1, as in the standard."""

    name: str
    fields: tuple[str, ...]
    signs: Signs

    def field(self, number: int) -> str:
        """Give a field as it was sent, with its separators and escapes; "" where it is absent."""
        return self.fields[number - 1] if 0 < number <= len(self.fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """Give the repetitions of a field, as they were sent."""
        return [one for one in self.field(number).split(self.signs.repetition) if one]

    def text(self, number: int, component: int = 1, part: int = 1) -> str:
        """Give a component of a field's first repetition, decoded."""
        first = self.field(number).split(self.signs.repetition)[0]
        return component_of(first, component, self.signs, part)


def component_of(repetition: str, component: int, signs: Signs, part: int = 1) -> str:
    """Give a component, or a part of one, of a repetition, decoded; "" where it is absent."""
    components = repetition.split(signs.component)
    if component > len(components):
        return ""
    parts = components[component - 1].split(signs.part)
    return unescaped(parts[part - 1], signs) if part <= len(parts) else ""


def unescaped(text: str, signs: Signs) -> str:
    """Put signs in the place of escape sequences (HL7 2.7); formatting becomes a space."""
    if text == _HIDDEN:
        return ""
    if not signs.escape or signs.escape not in text:
        return text.strip()
    known = {"F": signs.field, "S": signs.component, "T": signs.part,
             "R": signs.repetition, "E": signs.escape}  # fmt: skip

    def meant(found: re.Match[str]) -> str:
        word = found[1]
        if word in known:
            return known[word]
        if word.startswith(".") or word.upper() == "X0D" or word.upper() == "X0A":
            return " "
        if re.fullmatch(r"X([0-9A-Fa-f]{2})+", word):
            return bytes.fromhex(word[1:]).decode(signs.encoding, "replace")
        return ""  # highlighting, and what only two partners know

    return re.sub(_ESCAPED.format(re.escape(signs.escape)), meant, text).strip()


@dataclass(frozen=True, slots=True)
class Message:
    """A message: its segments in order, MSH first."""

    segments: tuple[Segment, ...]

    @property
    def header(self) -> Segment:
        """Its MSH. Fields count as the standard does: MSH-1 is the separator itself."""
        return self.segments[0]

    @property
    def type(self) -> tuple[str, str]:
        """The message's type and its trigger, such as ORM and O01."""
        return self.header.text(9), self.header.text(9, 2)

    def all(self, name: str) -> Iterator[Segment]:
        """Yield the segments of a name."""
        return (one for one in self.segments if one.name == name)

    def first(self, name: str) -> Segment:
        """Give the first segment of a name; an empty one where there is none."""
        return next(self.all(name), Segment(name, (), self.header.signs))


def read(data: bytes, default_charset: str) -> Message:
    """Read a message. Raises NotHl7."""
    lines = [line for line in _SEGMENT_END.split(data.strip(b"\r\n \0")) if line]
    if not lines or not lines[0].startswith(b"MSH") or len(lines[0]) < 8:
        raise NotHl7(100, "the message does not begin with MSH")
    if len(lines) > _MOST_SEGMENTS:
        raise NotHl7(207, f"the message has more than {_MOST_SEGMENTS} segments")
    signs = _signs(lines[0])
    encoding = _encoding(lines[0], signs, default_charset)
    signs = replace(signs, encoding=encoding)
    try:
        texts = [line.decode(encoding) for line in lines]
    except UnicodeError:
        raise NotHl7(102, "the message is not in the character set that MSH-18 names") from None
    return Message(tuple(_segment(text, signs) for text in texts))


def _signs(header: bytes) -> Signs:
    try:
        field, rest = chr(header[3]), header[4:].decode("ascii", "replace")
    except IndexError:
        raise NotHl7(100, "MSH is cut") from None
    given = rest.split(field)[0]
    signs = given + _STANDARD[1 + len(given) :] if len(given) < 4 else given[:4]
    if len({field, *signs}) < 5 or any(one.isalnum() or one <= " " for one in field + signs):
        raise NotHl7(102, "MSH-1 and MSH-2 must be five different signs")
    return Signs(field, *signs)


def _encoding(header: bytes, signs: Signs, default_charset: str) -> str:
    fields = header.decode("latin-1").split(signs.field)
    named = [one.strip() for one in fields[17].split(signs.repetition)] if len(fields) > 17 else []
    names = [one for one in named if one] or [default_charset]
    encodings = [HL7_CHARSETS.get(one.upper()) for one in names]
    if None in encodings:
        raise NotHl7(102, "MSH-18 names a character set that is not known here")
    # Further sets are reached by ISO 2022 escapes, which only the Japanese sets have in practice.
    further = next((one for one in encodings[1:] if one and one.startswith("iso2022")), None)
    return further or encodings[0] or "ascii"


def _segment(text: str, signs: Signs) -> Segment:
    name, *fields = text.split(signs.field)
    if name == "MSH":
        fields = [signs.field, *fields]
    return Segment(name.strip(), tuple(fields), signs)


def head_of(data: bytes) -> Message | None:
    """Read the MSH of what cannot be read as a whole, so that it can be answered; or None."""
    line = _SEGMENT_END.split(data.lstrip(b"\r\n \0")[:4096])[0]
    try:
        signs = _signs(line) if line.startswith(b"MSH") else None
    except NotHl7:
        return None
    if signs is None:
        return None
    return Message((_segment(line.decode("ascii", "replace"), signs),))


_CONDITIONS: Final[Mapping[int, str]] = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    103: "Table value not found",
    200: "Unsupported message type",
    201: "Unsupported event code",
    204: "Unknown key identifier",
    207: "Application internal error",
}
"""HL7 table 0357."""


def acknowledgement(
    asked: Message | None, answer: str, now: str, control_id: str, *, code: int = 0, words: str = ""
) -> bytes:
    """Write the ACK to a message: who asked is answered as it wrote itself (HL7 2.9.2).

    `now` is a DTM. Words must not hold values of the message.
    """
    header = asked.header if asked else Segment("MSH", (), Signs())
    signs = header.signs
    trigger = header.text(9, 2)
    kind = signs.component.join(["ACK", trigger, "ACK"] if trigger else ["ACK"])
    own = [
        "MSH",
        signs.component + signs.repetition + signs.escape + signs.part,
        header.field(5), header.field(6), header.field(3), header.field(4),
        now, "", kind, control_id, header.field(11) or "P", header.field(12) or "2.5.1",
    ]  # fmt: skip
    if header.field(18):
        own += [""] * 5 + [header.field(18)]
    lines = [own, ["MSA", answer, header.field(10), _plain(words, signs)]]
    if code:
        condition = signs.component.join([str(code), _CONDITIONS.get(code, ""), "HL70357"])
        lines.append(["ERR", "", "", condition, "E", "", "", "", _plain(words, signs)])
    text = "".join(signs.field.join(line) + "\r" for line in lines)
    return text.encode("ascii", "replace")


def _plain(words: str, signs: Signs) -> str:
    """Keep words free of what would be read as a separator."""
    special = {signs.field, signs.component, signs.repetition, signs.escape, signs.part}
    return "".join(" " if sign in special else sign for sign in words)
