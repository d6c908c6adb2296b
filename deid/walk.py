"""Walk a dataset to every depth and write the de-identified one.

For each element one action is looked up and carried out; what is kept is copied byte for byte
after its text was searched. Elements come out in tag order. Pixel data is not encoded here: its
bytes are passed on as slices of the input.
"""

from dataclasses import dataclass, field
from typing import Final

from deid import actions, encode, text
from deid.identity import Identity, uid_values
from deid.parse import PIXELS, UNDEFINED, Element, Encoding, name
from deid.profile import Action, Profile
from deid.table.dictionary import dictionary_vr
from dicom.errors import NotClean
from dicom.uid import is_valid

Chunk = bytes | memoryview

_CHARACTER_SET: Final = 0x0008_0005
_PATIENT_NAME: Final = 0x0010_0010
_PATIENT_ID: Final = 0x0010_0020
_ISSUER: Final = 0x0010_0021
_SEARCHED_VRS: Final = text.TEXT_VRS | {"AE", "CS", "UR"}

_NUMBER_VRS: Final = {"DS", "IS"}
_NUMBER_BYTES: Final = b"0123456789+-.Ee\\ \0"


def find(elements: tuple[Element, ...], tag: int) -> Element | None:
    """Find an element at one level of a dataset."""
    return next((each for each in elements if each.tag == tag), None)


def ascii_value(elements: tuple[Element, ...], tag: int) -> str:
    """Read a value of a VR without character sets (UI, CS), padding removed; "" for none."""
    element = find(elements, tag)
    return bytes(element.value).decode("ascii", "replace").strip("\0 ") if element else ""


@dataclass(frozen=True, slots=True)
class Level:
    """What an item inherits from the dataset around it."""

    path: str
    codecs: tuple[str, ...]
    pseudonym: str
    redacting: bool
    """Inside a sequence that is replaced by a dummy: whatever can tell something is replaced."""


@dataclass(slots=True)
class Walk:
    """One object on its way through a profile."""

    profile: Profile
    identity: Identity
    account: dict[tuple[str, str], None] = field(default_factory=dict)
    """Element path and action, in order; a path in many items stands once."""
    _uids: dict[str, str] = field(default_factory=dict)

    def uid(self, original: str) -> str:
        """Replace a UID."""
        new = self._uids.get(original)
        if new is None:
            new = self._uids[original] = self.profile.pseudonyms.uid(original)
        return new

    def dataset(self, elements: tuple[Element, ...], encoding: Encoding) -> dict[int, list[Chunk]]:
        """De-identify a whole dataset; return each element's bytes by tag, unsorted.

        Raises NotClean for what the profile refuses, DeidFault for what cannot be read.
        """
        level = self._enter(elements, Level("", text.DEFAULT_CODECS, "", redacting=False))
        written: dict[int, list[Chunk]] = {}
        for element in elements:
            if element.tag in PIXELS:
                written[element.tag] = _pixels(element, encoding)
                self._note(level, element.tag, Action.KEEP)
                continue
            chunk = self._element(element, encoding, level)
            if chunk:
                written[element.tag] = [chunk]
        for tag, vr in ((_PATIENT_NAME, "PN"), (_PATIENT_ID, "LO")):
            pseudonym = level.pseudonym.encode("ascii")
            written[tag] = [encode.element(tag, vr, pseudonym, encoding)]
            self._note(level, tag, Action.PSEUDONYM)
        return written

    def _note(self, level: Level, tag: int, action: Action) -> None:
        self.account[level.path + name(tag), action.value] = None

    def _enter(self, elements: tuple[Element, ...], outer: Level) -> Level:
        """Work out a dataset's own character sets and patient."""
        codecs, pseudonym = outer.codecs, outer.pseudonym
        own = find(elements, _CHARACTER_SET)
        if own is not None:
            codecs = text.codecs(bytes(own.value))
        identifier = _decoded(find(elements, _PATIENT_ID), codecs)
        if identifier:
            issuer = _decoded(find(elements, _ISSUER), codecs)
            pseudonym = self.profile.pseudonyms.patient(identifier, issuer)
        elif not outer.path:
            # Nobody's objects must not become one patient: each such study is its own.
            study = ascii_value(elements, 0x0020_000D)
            pseudonym = self.profile.pseudonyms.patient(study, "\x1estudy")
        return Level(outer.path, codecs, pseudonym, outer.redacting)

    def _element(self, element: Element, encoding: Encoding, level: Level) -> bytes:
        """Carry out one element's action; b"" removes it."""
        action = self._decide(element, level)
        self._note(level, element.tag, action)
        match action:
            case Action.REMOVE:
                return b""
            case Action.EMPTY:
                return encode.element(element.tag, _written_vr(element), b"", encoding)
            case Action.DUMMY:
                return self._dummy(element, encoding, level)
            case Action.UID:
                return self._mapped(element, encoding, level)
            case Action.PSEUDONYM:
                value = level.pseudonym.encode("ascii")
                return encode.element(element.tag, _written_vr(element), value, encoding)
            case _:
                return self._keep(element, encoding, level)

    def _decide(self, element: Element, level: Level) -> Action:
        """Look up an element's action, and look into what would be kept."""
        tag = element.tag
        if tag >> 24 == 0x60 and not tag >> 16 & 1:
            _refuse_embedded_overlay(element)
        if tag in PIXELS:
            raise NotClean(f"{level.path}{name(tag)}: pixel data in a sequence cannot be checked")
        action = self.profile.action(tag)
        if action is Action.REFUSE:
            action = self._refuse(element, level)
        if action in {Action.REMOVE, Action.EMPTY, Action.PSEUDONYM}:
            return action
        vr = dictionary_vr(tag) or element.vr
        if action is Action.UID or (element.items is None and "UI" in {vr, element.vr}):
            return _uid_action(element, self.profile.base.kinds)
        if level.redacting and vr in actions.TELLING_VRS:
            return Action.DUMMY
        if action is Action.KEEP and element.items is None and self._tells(element, vr, level):
            return Action.DUMMY
        return action

    def _refuse(self, element: Element, level: Level) -> Action:
        """Raise NotClean for an attribute that the profile refuses; an empty one may stay."""
        if not element.value:
            return Action.KEEP
        why = self.profile.base.reasons.get(element.tag, "the profile refuses it")
        raise NotClean(f"{level.path}{name(element.tag)}: {why}")

    def _tells(self, element: Element, vr: str, level: Level) -> bool:
        """Whether a value that would be kept holds identity, or cannot be read as what it is."""
        vrs = {vr, element.vr}
        if vrs & _NUMBER_VRS and bytes(element.value).translate(None, _NUMBER_BYTES):
            return True
        if not vrs & _SEARCHED_VRS:
            return False
        try:
            value = text.decode(bytes(element.value), level.codecs)
        except UnicodeError:
            return True
        single = vr in text.SINGLE_VALUED
        return bool(self.identity.in_text([value] if single else value.split("\\")))

    def _dummy(self, element: Element, encoding: Encoding, level: Level) -> bytes:
        if element.items is not None:
            inside = Level(level.path, level.codecs, level.pseudonym, redacting=True)
            return self._items(element, encoding, inside)
        vr = _written_vr(element)
        return encode.element(element.tag, vr, actions.dummy(vr, element.value), encoding)

    def _mapped(self, element: Element, encoding: Encoding, level: Level) -> bytes:
        if element.items is not None:
            return self._items(element, encoding, level)
        value = actions.uids(element.value, self.uid)
        return encode.element(element.tag, _written_vr(element), value, encoding)

    def _keep(self, element: Element, encoding: Encoding, level: Level) -> bytes:
        if element.items is not None:
            return self._items(element, encoding, level)
        return encode.element(element.tag, element.vr, bytes(element.value), encoding)

    def _items(self, element: Element, encoding: Encoding, level: Level) -> bytes:
        """De-identify each item of a sequence in the encoding that it stands in."""
        inner = element.inner or encoding
        path = f"{level.path}{name(element.tag)}/"
        contents: list[bytes] = []
        for item in element.items or ():
            own = self._enter(item, Level(path, level.codecs, level.pseudonym, level.redacting))
            parts = [(each.tag, self._element(each, inner, own)) for each in item]
            contents.append(b"".join(part for _, part in sorted(parts, key=lambda pair: pair[0])))
        return encode.sequence(element.tag, element.vr, contents, encoding, inner)


def _uid_action(element: Element, kinds: frozenset[int]) -> Action:
    """Keep UIDs of kinds of things, map every other one. Raises NotClean for a kind's non-UID."""
    if element.tag not in kinds:
        return Action.UID
    if not all(is_valid(uid) for uid in uid_values(bytes(element.value)) if uid):
        raise NotClean(f"{name(element.tag)}: no UID, but kept as one")
    return Action.KEEP


def _written_vr(element: Element) -> str:
    """Say which VR a new value is written with: the standard's, where the dictionary knows it."""
    return dictionary_vr(element.tag)[:2] or element.vr


def _decoded(element: Element | None, codecs: tuple[str, ...]) -> str:
    """Read text for a pseudonym: whatever the bytes are, the same bytes give the same text."""
    if element is None:
        return ""
    value = bytes(element.value)
    try:
        return text.decode(value, codecs).strip("\0 ")
    except UnicodeError:
        return value.decode("latin-1").strip("\0 ")


def _pixels(element: Element, encoding: Encoding) -> list[Chunk]:
    length = UNDEFINED if element.undefined else len(element.value)
    return [encode.header(element.tag, element.vr, length, encoding), element.value]


def _refuse_embedded_overlay(element: Element) -> None:
    """Refuse overlays inside the pixel data: their bits stay when the overlay's group goes."""
    if element.tag & 0xFFFF == 0x0102 and bytes(element.value).strip(b"\0"):
        raise NotClean(f"{name(element.tag)}: an overlay is embedded in the pixel data")
