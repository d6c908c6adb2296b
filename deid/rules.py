"""One decision for each attribute: the table, the options and the exceptions laid over another.

Heard in this order, the last word first: a site's exceptions; the options' columns; the shipped
profile's exceptions; the column "Basic Prof." of Table E.1-1; the rules for what the table does
not list; and removal for what nobody knows. Where the table leaves a choice (X/Z/D), the type of
the attribute in the object's SOP class chooses.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from pydicom.datadict import keyword_for_tag

from deid import options as option_names
from deid.bases import NEVER, Action, Base
from deid.options import OPTIONS
from deid.table import table
from deid.table.dictionary import VRS
from dicom.iod.types import type_of

TypeOf = Callable[[str, tuple[int, ...]], str]
"""SOP Class UID and path of tags to "1", "1C", "2", "2C", "3" or "" (PS3.5 7.4)."""

_DATE_VRS: Final = frozenset({"DA", "DT", "TM"})
_PARAGRAPHS: Final = frozenset({"LT", "ST", "UT"})
_DESCRIPTION: Final = re.compile(r"(?:Description|Comments?|Notes|Label|Explanation|Reason)$")
_MOST_RESOLVED: Final = 50_000
"""Paths to remember; more come from objects made to fill memory."""


def is_choice(codes: str) -> bool:
    """Whether codes leave something to the type.

    A lone Z does, because type 1 wants a value; a lone X does where the IOD demands the attribute
    (PresentationCreationDate is listed for removal, and of type 1 in presentation states).
    """
    return "/" in codes or codes in {"X", "Z"}


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to an attribute, and who said so."""

    action: Action
    codes: str
    """What remains to choose from by type: for `action` itself, or where cleaning finds nothing
    to keep."""
    option: str = ""
    """The option that decided."""
    reason: str = ""
    """Why a profile or a site departs from the table."""
    is_site: bool = False
    """Whether the site decided."""
    by_type: bool = field(init=False)
    """Whether the attribute's type in the SOP class decides; asked for every element."""

    def __post_init__(self) -> None:
        is_open = not self.option and not self.reason and is_choice(self.codes)
        object.__setattr__(self, "by_type", is_open)


GONE: Final = Decision(Action.REMOVE, "X")
"""What happens to what nobody knows."""


@dataclass(frozen=True, slots=True)
class SiteException:
    """One exception of a site: tags where `tag & mask == value`, and why."""

    mask: int
    value: int
    action: Action
    reason: str

    @property
    def is_exact(self) -> bool:
        """Whether it speaks about one tag."""
        return self.mask == 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Rules:
    """Every decision of a profile. Two with the same decisions treat every object alike."""

    base: Base = field(repr=False)
    options: tuple[str, ...]
    decisions: Mapping[int, Decision] = field(repr=False)
    masked: tuple[tuple[int, int, Decision], ...]
    """Exceptions of a site for repeating groups, as mask, value, decision."""
    type_of: TypeOf = field(repr=False)
    _resolved: dict[tuple[str, tuple[int, ...]], Action] = field(
        default_factory=dict, repr=False, compare=False
    )

    def decide(self, tag: int) -> Decision:
        """Look up a public attribute's decision; the type, where it matters, is still open."""
        found = self.decisions.get(tag)
        if found is None:
            found = next((d for mask, value, d in self.masked if tag & mask == value), GONE)
        return found

    def by_type(self, decision: Decision, sop_class_uid: str, path: tuple[int, ...]) -> Action:
        """Choose among a decision's codes by the attribute's type at `path`."""
        key = sop_class_uid, path
        action = self._resolved.get(key)
        if action is None:
            if len(self._resolved) > _MOST_RESOLVED:
                self._resolved.clear()
            kind = self.type_of(sop_class_uid, path)
            action = self._resolved[key] = choose(decision.codes, kind, decision.action)
        return action


def choose(codes: str, kind: str, unknown: Action) -> Action:
    """Choose among the table's codes by an attribute's type (PS3.15 Table E.1-1a).

    `kind` is "1", "1C", "2", "2C", "3", or "" for unknown, which gives `unknown`. A UID that may
    stay consistent is mapped whatever its type: a reference that leads somewhere is worth more
    than none.
    """
    allowed = codes.split("/")
    if "U" in codes:
        return Action.UID
    if not kind:
        return unknown
    if codes == "X":
        return {"1": Action.DUMMY, "2": Action.EMPTY}.get(kind, Action.REMOVE)
    wanted = {"1": ("D", "Z", "X"), "2": ("Z", "D", "X"), "3": ("X", "Z", "D")}[kind[0]]
    first = next((code for code in wanted if code in allowed), allowed[0])
    # The table's Z is "a zero length value, or a non-zero length value that may be a dummy":
    # type 1 needs the latter.
    return Action.DUMMY if first == "Z" and kind[0] == "1" else Action(first)


def strictest_left(codes: str) -> Action:
    """Say what is done where cleaning left nothing and the type is unknown."""
    first = next((code for code in ("U", "D", "Z", "X") if code in codes.split("/")), "X")
    return Action(first)


def _column_action(option: str, letter: str, vr: str) -> Action:
    if letter == "K":
        return Action.KEEP
    if option != option_names.MODIFIED_DATES:
        return Action.CLEAN
    return Action.KEEP if vr == "TM" else Action.SHIFT  # times of day stay


def _of_options(row: table.Row, vr: str, ordered: tuple[str, ...]) -> tuple[Action, str] | None:
    """Ask the options' columns about a listed attribute."""
    for name in ordered:
        letter = row.columns.get(OPTIONS[name].column)
        if letter:
            return _column_action(name, letter, vr), name
    return None


def _of_unlisted(tag: int, vr: str, chosen: tuple[str, ...]) -> tuple[Action, str] | None:
    """Let dates, UIDs and descriptions that the table does not list follow their options."""
    if vr in _DATE_VRS and option_names.FULL_DATES in chosen:
        return Action.KEEP, option_names.FULL_DATES
    if vr in _DATE_VRS and option_names.MODIFIED_DATES in chosen:
        moved = Action.KEEP if vr == "TM" else Action.SHIFT
        return moved, option_names.MODIFIED_DATES
    if vr == "UI" and option_names.RETAIN_UIDS in chosen:
        return Action.KEEP, option_names.RETAIN_UIDS
    if option_names.DESCRIPTORS in chosen and (vr in _PARAGRAPHS or _is_description(tag, vr)):
        return Action.CLEAN, option_names.DESCRIPTORS
    return None


def _is_description(tag: int, vr: str) -> bool:
    """Whether an attribute holds a short text that people write, going by its keyword."""
    return vr in {"LO", "SH"} and _DESCRIPTION.search(keyword_for_tag(tag)) is not None


def build(
    base: Base,
    chosen: tuple[str, ...],
    exceptions: tuple[SiteException, ...],
    type_of: TypeOf = type_of,
) -> Rules:
    """Decide about every attribute that the dictionary or the table knows.

    `chosen` are all options in force, those of the base included.
    """
    facts = table.load()
    ordered = option_names.by_precedence(chosen)
    decisions: dict[int, Decision] = {}
    for tag, action in base.actions.items():
        row, vr = facts.by_tag.get(tag), VRS.get(tag, "")
        found = _of_options(row, vr, ordered) if row else _of_unlisted(tag, vr, chosen)
        open_codes = row.basic if row else base.codes[tag]
        if found and tag >> 16 not in NEVER and tag not in base.kinds:
            decisions[tag] = Decision(found[0], open_codes, option=found[1])
        else:
            reason = base.reasons.get(tag, "")
            decisions[tag] = Decision(action, base.codes[tag], reason=reason)
    masked = []
    for each in exceptions:
        if each.is_exact:
            before = decisions.get(each.value, GONE)
            decisions[each.value] = _of_site(each, before)
        else:
            touched = [tag for tag in decisions if tag & each.mask == each.value]
            decisions.update({tag: _of_site(each, decisions[tag]) for tag in touched})
            masked.append((each.mask, each.value, _of_site(each, GONE)))
    return Rules(base, chosen, decisions, tuple(masked), type_of)


def _of_site(exception: SiteException, before: Decision) -> Decision:
    codes = before.codes if exception.action in {Action.CLEAN, Action.SHIFT} else "X"
    return replace(
        before,
        action=exception.action,
        codes=codes if codes != "K" else "X",
        option="",
        reason=exception.reason,
        is_site=True,
    )
