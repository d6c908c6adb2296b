"""Walk a dataset to every depth and write the de-identified one.

For each element one action is looked up and carried out; what is kept is copied byte for byte
after its text was searched. Elements come out in tag order. Pixel data is not encoded here: its
bytes are passed on as slices of the input.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from deid import (
    account,
    actions,
    cleaning,
    encode,
    graphics,
    keeping,
    parse,
    patient,
    private,
    structured,
    text,
)
from deid.account import Account
from deid.bases import Action
from deid.identity import Identity
from deid.level import NO_CREATORS, TOP, Level, Mode, ascii_value, find
from deid.options import MODIFIED_DATES, RETAIN_UIDS, SAFE_PRIVATE
from deid.parse import PIXELS, Element, Encoding, name
from deid.profile import Profile
from deid.rules import Decision, is_choice, strictest_left
from deid.table.dictionary import dictionary_vr
from dicom.errors import NotClean

_CHARACTER_SET: Final = 0x0008_0005
_PATIENT_NAME: Final = 0x0010_0010
_PATIENT_ID: Final = 0x0010_0020
_STUDY: Final = 0x0020_000D
_HIDDEN_VRS: Final = actions.TELLING_VRS | {"DS", "IS", "FD", "FL", "CS"}
_SETTLED: Final = frozenset({Action.REMOVE, Action.EMPTY, Action.PSEUDONYM})


@dataclass(slots=True)
class Walk:
    """One object on its way through a profile."""

    profile: Profile
    identity: Identity
    sop_class_uid: str = ""
    overrides: Mapping[int, tuple[str, bytes]] = field(default_factory=dict)
    """Attributes of the top level that are written anew, with VR and value."""
    account: Account = field(default_factory=Account)
    patient_pseudonym: str = ""
    """Of the patient of the top level."""
    days: int = 0
    """By how many days this patient's dates move into the past."""
    _uids: dict[str, str] = field(default_factory=dict)
    _private_kept: int = 0

    def uid(self, original: str) -> str:
        """Replace a UID."""
        new = self._uids.get(original)
        if new is None:
            new = self._uids[original] = self.profile.pseudonyms.uid(original)
        return new

    def new_uid(self, original: str) -> str:
        """Say which UID an object of the top level has afterwards: its own where UIDs stay."""
        return original if self.profile.has(RETAIN_UIDS) else self.uid(original)

    @property
    def uids(self) -> Mapping[str, str]:
        """Every UID that was replaced, old to new."""
        return self._uids

    def dataset(self, elements: tuple[Element, ...], encoding: Encoding) -> dict[int, bytes]:
        """De-identify all but the pixel data; return each element's bytes by tag, unsorted.

        Raises NotClean for what the profile refuses, DeidFault for what cannot be read.
        """
        level = self._enter(elements, TOP)
        written: dict[int, bytes] = {}
        plain: list[Element] = []
        for element in elements:
            if element.tag in PIXELS:
                continue  # see pixel_stage
            if element.tag in self.overrides:
                vr, value = self.overrides[element.tag]
                written[element.tag] = encode.element(element.tag, vr, value, encoding)
                self.account.note(name(element.tag), Action.DUMMY)
            else:
                plain.append(element)
        written |= self._level(plain, encoding, level)
        for tag, vr in ((_PATIENT_NAME, "PN"), (_PATIENT_ID, "LO")):
            if self.profile.decide(tag).action is Action.PSEUDONYM:
                pseudonym = level.pseudonym.encode("ascii")
                written[tag] = encode.element(tag, vr, pseudonym, encoding)
                self.account.note(name(tag), Action.PSEUDONYM)
        return written

    def _level(
        self, elements: list[Element] | tuple[Element, ...], encoding: Encoding, level: Level
    ) -> dict[int, bytes]:
        """Write each element of one dataset or item; creators only of blocks that stay."""
        written: dict[int, bytes] = {}
        for element in elements:
            if not element.tag >> 16 & 1:
                part = self._element(element, encoding, level)
            elif private.is_creator(element.tag):
                continue
            else:
                part = self._private(element, encoding, level)
                if part and (creator := private.creator_tag(element.tag)) not in written:
                    value = level.creators[creator].encode("ascii")
                    written[creator] = encode.element(creator, "LO", value, encoding)
            if part:
                written[element.tag] = part
        for creator in level.creators:
            kept = Action.KEEP if creator in written else Action.REMOVE
            self.account.note(level.path + name(creator), kept)
        return written

    def _enter(self, elements: tuple[Element, ...], outer: Level) -> Level:
        """Work out a dataset's own character sets, patient and private blocks."""
        codecs, pseudonym = outer.codecs, outer.pseudonym
        own = find(elements, _CHARACTER_SET)
        if own is not None:
            codecs = text.codecs(bytes(own.value))
        is_top = not outer.path
        who = patient.read(elements, codecs, self.profile.pseudonyms, is_top=is_top)
        if who:
            pseudonym = who.pseudonym
            patient.remember(who, elements, codecs, self.account)
        if who and is_top:
            self._settle(who, elements, codecs)
        is_personal = outer.mode is Mode.CLEAN and structured.is_personal(
            elements, self.profile.options
        )
        return Level(
            outer.path,
            outer.tags,
            codecs,
            pseudonym,
            outer.mode,
            private.creators(elements) or NO_CREATORS,
            is_personal,
        )

    def _settle(
        self, who: patient.Patient, elements: tuple[Element, ...], codecs: tuple[str, ...]
    ) -> None:
        """Settle pseudonym and shift by the patient of the top level; items follow it."""
        self.patient_pseudonym = who.pseudonym
        study = self.new_uid(ascii_value(elements, _STUDY))
        patient.remember_study(elements, codecs, study, self.account)
        if self.profile.has(MODIFIED_DATES):
            self.days = who.days
            self.account.replaced(account.SHIFT, who.pseudonym, f"-{who.days}")

    def _element(self, element: Element, encoding: Encoding, level: Level) -> bytes:
        """Decide about one public element and carry it out; b"" removes it."""
        tag = element.tag
        if tag in PIXELS:
            raise NotClean(f"{level.path}{name(tag)}: pixel data in a sequence cannot be checked")
        decision = self.profile.decide(tag)
        action = self._action(decision, element, level)
        if action is Action.CLEAN:
            return self._clean(element, encoding, level, decision)
        if action is Action.SHIFT:
            vr = dictionary_vr(tag)[:2] or element.vr
            value = cleaning.moved(vr, bytes(element.value), self.days)
            return self._changed(
                element, encoding, level, decision, value=value, action=Action.SHIFT
            )
        if action is Action.KEEP:
            return self._keep(element, encoding, level, decision)
        return self._carry_out(action, element, encoding, level)

    def _action(self, decision: Decision, element: Element, level: Level) -> Action:
        """Resolve a decision by type, and by what the surrounding sequence asks for."""
        tag, action = element.tag, decision.action
        if decision.by_type:
            action = self.profile.rules.by_type(decision, self.sop_class_uid, (*level.tags, tag))
        if action is Action.REFUSE:
            self._refuse(element, level, decision)
            return Action.EMPTY
        if level.mode is Mode.PLAIN or action in _SETTLED:
            return action
        vr = dictionary_vr(tag)[:2] or element.vr
        if level.mode is Mode.CLEAN:
            if level.is_personal and tag in structured.VALUES:
                return Action.DUMMY
            is_unlisted = action is Action.KEEP and decision.codes == "K"
            is_text = is_unlisted and vr in cleaning.FREE_TEXT and tag not in structured.CODES
            return Action.CLEAN if is_text or tag in structured.CLEANED else action
        if element.items is not None and action is Action.CLEAN:
            return Action.KEEP  # its inside is replaced, which is more than cleaned
        hidden = _HIDDEN_VRS if level.mode is Mode.HIDE else actions.TELLING_VRS
        is_kind = tag in self.profile.base.kinds
        return Action.DUMMY if vr in hidden and action is not Action.UID and not is_kind else action

    def _refuse(self, element: Element, level: Level, decision: Decision) -> None:
        """Raise NotClean for an attribute that the profile refuses; an empty one may stay."""
        if element.value:
            why = decision.reason or "the profile refuses it"
            raise NotClean(f"{level.path}{name(element.tag)}: {why}")

    def _carry_out(
        self, action: Action, element: Element, encoding: Encoding, level: Level
    ) -> bytes:
        """Write what a settled action leaves of an element, and note it."""
        tag = element.tag
        self.account.note(level.path + name(tag), action)
        vr = dictionary_vr(tag)[:2] or element.vr
        if action is Action.REMOVE:
            return b""
        if element.items is not None and action not in _SETTLED:
            mode = level.mode
            if action is Action.DUMMY and mode is not Mode.HIDE:
                mode = Mode.HIDE if level.is_personal else Mode.REDACT
            return self._items(element, encoding, level, mode)
        vr, value = actions.written(action, element, vr, level.pseudonym, self.uid)
        return encode.element(tag, vr, value, encoding)

    def _fall_back(
        self, element: Element, encoding: Encoding, level: Level, decision: Decision
    ) -> bytes:
        """Do what the table says where an option found nothing to keep."""
        action = strictest_left(decision.codes)
        if is_choice(decision.codes):
            path = *level.tags, element.tag
            without = Decision(action, decision.codes)
            action = self.profile.rules.by_type(without, self.sop_class_uid, path)
        if element.items is not None and action is Action.DUMMY and not element.items:
            action = Action.REMOVE
        return self._carry_out(action, element, encoding, level)

    def _credit(self, decision: Decision) -> None:
        """Claim the option that decided about a value; what was empty needed none."""
        if decision.option:
            self.account.applied.add(decision.option)

    def _changed(
        self,
        element: Element,
        encoding: Encoding,
        level: Level,
        decision: Decision,
        *,
        value: bytes,
        action: Action,
    ) -> bytes:
        """Write a changed value; what has nothing left falls back to the table."""
        if not bytes(element.value).strip(b"\0 "):
            self.account.note(level.path + name(element.tag), Action.KEEP)
            return encode.element(element.tag, element.vr, b"", encoding)
        self._credit(decision)
        if not value:
            return self._fall_back(element, encoding, level, decision)
        self.account.note(level.path + name(element.tag), action)
        vr = dictionary_vr(element.tag)[:2] or element.vr
        return encode.element(element.tag, vr, value, encoding)

    def _clean(
        self, element: Element, encoding: Encoding, level: Level, decision: Decision
    ) -> bytes:
        """Clean text, ages, or a sequence item by item; what cannot be cleaned falls back."""
        if element.items is not None:
            if element.items:
                self._credit(decision)
            if element.tag == graphics.ANNOTATIONS:
                element = graphics.pruned(element)
            if not element.items:
                return self._fall_back(element, encoding, level, decision)
            self.account.note(level.path + name(element.tag), Action.CLEAN)
            return self._items(element, encoding, level, Mode.CLEAN)
        vr = dictionary_vr(element.tag)[:2] or element.vr
        value = b""
        if vr in cleaning.TEXT:
            words = self.profile.vocabulary
            value = keeping.cleaned_text(
                element, vr, level, self.identity, vocabulary=words, uid=self.uid
            )
        elif vr == "AS":
            value = cleaning.aged(bytes(element.value))
        if not value and decision.codes == "K":
            # Inside a cleaned sequence: no table says whether an unlisted attribute may be empty.
            decision = replace(decision, codes="D")
        return self._changed(element, encoding, level, decision, value=value, action=Action.CLEAN)

    def _keep(
        self, element: Element, encoding: Encoding, level: Level, decision: Decision
    ) -> bytes:
        """Keep an element byte for byte, or what may be kept of it."""
        tag = element.tag
        if element.value:
            self._credit(decision)
        if element.items is not None:
            self.account.note(level.path + name(tag), Action.KEEP)
            return self._items(element, encoding, level, level.mode)
        vr = dictionary_vr(tag) or element.vr
        if "UI" in {vr, element.vr}:
            is_kind = tag in self.profile.base.kinds
            action, value = keeping.kept_uids(
                element, level, self.identity, decision, is_kind=is_kind
            )
        else:
            action, value = keeping.kept(element, vr, level, self.identity, self.uid)
        if action is Action.DUMMY and decision.option:
            return self._fall_back(element, encoding, level, decision)
        if value is None and action is not Action.KEEP:
            return self._carry_out(action, element, encoding, level)
        self.account.note(level.path + name(tag), action)
        if value is None:
            return encode.element(tag, element.vr, bytes(element.value), encoding)
        return encode.element(tag, vr[:2], value, encoding)

    def _private(self, element: Element, encoding: Encoding, level: Level) -> bytes:
        """Keep a private element that the safe list names and that holds no identity."""
        found = private.key(element.tag, level.creators)
        vr = self.profile.safe.vr(found) if found else ""
        if found and vr and self.identity.in_text([found[1]]):
            vr = ""  # a patient is called like the maker
        part = b""
        if vr == "SQ":
            part = self._private_sequence(element, encoding, level)
        elif vr and keeping.may_stay_private(element, vr, level, self.identity):
            part = encode.element(element.tag, element.vr, bytes(element.value), encoding)
            self._private_kept += 1
        self.account.note(
            level.path + name(element.tag),
            Action.KEEP if part else Action.REMOVE,
            SAFE_PRIVATE if part else "",
        )
        return part

    def _private_sequence(self, element: Element, encoding: Encoding, level: Level) -> bytes:
        """Keep a private sequence if something private inside it stays."""
        if element.vr not in {"SQ", "UN"}:
            return b""
        opened = parse.opened(element, encoding)
        kept, marked = self._private_kept, self.account.mark()
        part = self._items(opened, encoding, level, level.mode)
        if self._private_kept == kept:
            self.account.back_to(marked)
            return b""
        return part

    def _items(self, element: Element, encoding: Encoding, level: Level, mode: Mode) -> bytes:
        """De-identify each item of a sequence in the encoding that it stands in."""
        inner = element.inner or encoding
        tag = element.tag
        path, tags = f"{level.path}{name(tag)}/", (*level.tags, tag)
        below = replace(level, path=path, tags=tags, mode=mode)
        contents: list[bytes] = []
        for item in element.items or ():
            own = self._enter(item, below)
            written = self._level(item, inner, own)
            contents.append(b"".join(written[each] for each in sorted(written)))
        return encode.sequence(tag, element.vr, contents, encoding, inner)
