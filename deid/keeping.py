"""Look into a value that an action would keep, and say what may be kept of it.

Kept is what can be read as what it claims to be and holds no identity. Text that holds some is
replaced; original UIDs inside text are mapped; a value that contradicts its VR or does not decode
makes the object uncertain, and it is refused.
"""

import re
from collections.abc import Callable
from typing import Final

from deid import cleaning, dates, text
from deid.bases import Action
from deid.identity import Identity, uid_values
from deid.level import Level
from deid.options import RETAIN_UIDS
from deid.parse import Element, name
from deid.rules import Decision
from deid.vocabulary import Vocabulary
from dicom.errors import NotClean
from dicom.uid import is_valid

_SEARCHED_VRS: Final = text.TEXT_VRS | {"AE", "CS", "UR"}
_NUMBER_VRS: Final = frozenset({"DS", "IS"})
_NUMBER_BYTES: Final = b"0123456789+-.Ee\\ \0"
_MAIL: Final = re.compile(r"[^\s@]@[^\s@]+\.\w")
_UID: Final = "UID"
_SOP_CLASS: Final = 0x0008_0016
_TELLING_UID: Final = 20
"""A dotted number of this length in cleaned text is a UID, whoever's; shorter ones are versions."""

Kept = tuple[Action, bytes | None]
"""What happened in the end, and the value; None where it stays byte for byte."""

AS_IT_IS: Final[Kept] = (Action.KEEP, None)
NOTHING: Final[Kept] = (Action.DUMMY, None)


def kept(
    element: Element, vr: str, level: Level, identity: Identity, uid: Callable[[str], str]
) -> Kept:
    """Judge a value that shall be kept; UIDs are judged by `kept_uids`.

    `vr` is the dictionary's VR, or the declared one where the dictionary is silent; `uid`
    replaces a UID. (DUMMY, None) says that nothing may stay. Raises NotClean for a value that
    contradicts its VR or does not decode.
    """
    declared = element.vr
    if declared != vr and cleaning.contradicts(declared, vr):
        words = f"is written as {declared}, the standard has {vr}"
        raise NotClean(f"{level.path}{name(element.tag)} {words}")
    if vr in dates.VRS:
        return _other(element, cleaning.temporal(vr, bytes(element.value)), Action.KEEP)
    if vr == "AS":
        return _other(element, cleaning.aged(bytes(element.value)), Action.CLEAN)
    if vr in _SEARCHED_VRS or declared in _SEARCHED_VRS:
        return _text(element, vr, level, identity, uid)
    if vr in _NUMBER_VRS and bytes(element.value).translate(None, _NUMBER_BYTES):
        return NOTHING
    if vr == "UN":
        return NOTHING  # neither the dictionary nor the file says what the bytes are
    if declared != "UN" and not cleaning.has_whole_values(declared, element.value):
        raise NotClean(f"{level.path}{name(element.tag)} holds no whole values of {declared}")
    return AS_IT_IS


def kept_uids(
    element: Element, level: Level, identity: Identity, decision: Decision, *, is_kind: bool
) -> Kept:
    """Judge UIDs: those of kinds of things (`is_kind`) and retained ones stay, others are mapped.

    What stays is digits and dots, with the usual slips ("0", leading zeros), and holds no
    identifier; valid UIDs of kinds are not searched, but mapped where they name an object of the
    patient. Raises NotClean where it must stay and cannot; where an option other than retain-uids
    would keep it, it is mapped.
    """
    if not (is_kind or decision.option or decision.is_site):
        return Action.UID, None
    values = uid_values(bytes(element.value))
    names_object = not identity.uids.isdisjoint(values)
    if is_kind and names_object and element.tag != _SOP_CLASS:
        return Action.UID, None
    if is_kind and not names_object and all(is_valid(uid) for uid in values if uid):
        return AS_IT_IS
    fault = "no UID, but kept as one"
    if cleaning.are_uids(values):
        found = "UID" if names_object else identity.in_text(values, dates=False)
        fault = f"a UID that stays holds identity ({found})" if found else ""
    if fault and decision.option not in {"", RETAIN_UIDS}:
        return Action.UID, None
    if fault:
        raise NotClean(f"{level.path}{name(element.tag)}: {fault}")
    return AS_IT_IS


def cleaned_text(
    element: Element,
    vr: str,
    level: Level,
    identity: Identity,
    *,
    vocabulary: Vocabulary,
    uid: Callable[[str], str],
) -> bytes:
    """Clean text by the keep-list; b"" where what is left still tells who it is about.

    UIDs in it are replaced by `uid`. Raises NotClean for text that does not decode.
    """

    def replace_uid(dotted: str) -> str:
        is_uid = identity.names_uid(dotted) or len(dotted) >= _TELLING_UID
        return uid(dotted) if is_uid else ""

    decoded(element, level)
    value = cleaning.cleaned(vr, bytes(element.value), level.codecs, vocabulary, replace_uid)
    words = text.decode(value, level.codecs).replace("\\", " ")
    # A patient called Head, by the whole name; a short number as a word of its own.
    tells = identity.in_text([words]) or identity.in_text(words.split())
    return b"" if tells else value


def _other(element: Element, value: bytes, action: Action) -> Kept:
    """Compare what may stay of a date or an age with what was there."""
    before = bytes(element.value).rstrip(b"\0 ")
    if not before:
        return AS_IT_IS
    if not value:
        return NOTHING
    return AS_IT_IS if value == before else (action, value)


def _text(
    element: Element, vr: str, level: Level, identity: Identity, uid: Callable[[str], str]
) -> Kept:
    raw = bytes(element.value)
    if vr in _NUMBER_VRS and raw.translate(None, _NUMBER_BYTES):
        return NOTHING
    value = decoded(element, level)
    single = vr in text.SINGLE_VALUED
    found = identity.in_text([value] if single else value.split("\\"))
    if found == _UID:
        new = cleaning.with_new_uids(vr, value.rstrip("\0 "), identity.names_uid, uid)
        if new and not identity.in_text([new] if single else new.split("\\")):
            return Action.UID, text.encode(new, level.codecs)
    if found or "://" in value or ("@" in value and _MAIL.search(value)):
        return NOTHING
    return AS_IT_IS


def decoded(element: Element, level: Level) -> str:
    """Decode an element's text. Raises NotClean where it is none in its character set."""
    try:
        return text.decode(bytes(element.value), level.codecs)
    except UnicodeError:
        words = "the text does not decode in its character set"
        raise NotClean(f"{level.path}{name(element.tag)}: {words}") from None


def may_stay_private(element: Element, vr: str, level: Level, identity: Identity) -> bool:
    """Whether the value of a safe private attribute may stay; `vr` is the safe list's.

    Also looks into UN: the list, not the file, says what the bytes mean.
    """
    value = bytes(element.value)
    if cleaning.is_binary(vr):
        return cleaning.has_whole_values(vr, element.value) and not identity.in_bytes(value)
    if vr in _NUMBER_VRS:
        return not value.translate(None, _NUMBER_BYTES)
    if vr not in _SEARCHED_VRS - {"PN", "AE", "UR"}:
        return False
    try:
        value_text = text.decode(value, level.codecs)
    except UnicodeError:
        return False
    return not identity.in_text(value_text.split("\\")) and "://" not in value_text
