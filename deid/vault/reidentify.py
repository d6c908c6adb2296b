"""Give a result that came back on de-identified data the identity of its study again.

A result (SR, SEG, GSPS, secondary capture) names the patient and the study by pseudonym. It gets
the Patient and Study modules of the original, and the original UID for each pseudonym, at every
depth; its own Series and SOP Instance UID, dates and contents stay, and so do pixels, bit for bit.
The markers of de-identification go, and with them digital signatures, which no longer hold.

Fails closed: a patient or study that the vault does not know, or that do not belong together, and
one UID of our making without an original, refuse the whole object.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from deid import encode, markers, parse, text
from deid.broken import broke_off
from deid.container import Chunk, Opened, close_part10, open_part10
from deid.identity import uid_values
from deid.level import ascii_value
from deid.parse import Element, name
from deid.table.dictionary import dictionary_vr
from deid.vault import charsets, modules, second_look
from deid.vault.charsets import Agreement
from deid.vault.rewrite import Codecs, Rewriter, codecs_of, with_private_items
from deid.vault.second_look import looks_ours
from deid.vault.snapshot import Snapshot
from dicom.errors import DeidFault, Fault

_SOP_CLASS: Final = 0x0008_0016
_SOP_INSTANCE: Final = 0x0008_0018
_SERIES: Final = 0x0020_000E
_SIGNATURES: Final = frozenset({0xFFFA_FFFA, 0x4FFE_0001})
"""DigitalSignaturesSequence and MACParametersSequence: a changed object breaks them."""
_BULK_BYTES: Final = 1 << 16
_BULK_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW"})
_DOTTED: Final = re.compile(rb"[0-9]+(\.[0-9]+)+(\\[0-9]+(\.[0-9]+)+)*[\0 ]?")
_OURS: Final = re.compile(rb"2\.25\.[0-9]{1,39}")


class NoWayBack(DeidFault):
    """A result cannot be given its identity back; it does not leave."""

    code = "no-way-back"


class WayBack(Protocol):
    """What re-identification asks of the vault, within one project."""

    def study(self, patient: str, study_instance_uid: str) -> Snapshot:
        """Open a study's snapshot by pseudonyms. Raises NoWayBack."""
        ...

    def uids(self, patient: str, pseudonyms: Collection[str]) -> Mapping[str, str]:
        """Give the originals of those UIDs that were replaced in this patient's objects."""
        ...


@dataclass(frozen=True, slots=True)
class Reidentified:
    """A result with its identity back; UIDs are those that it leaves with."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    chunks: tuple[Chunk, ...]
    """The Part 10 file in order; pixel data as slices of the input, which must stay open."""
    account: tuple[tuple[str, str], ...]
    """Attribute and what was done to it (restored, removed), and how many UIDs were mapped."""


def reidentify(part10: bytes | memoryview, way_back: WayBack) -> Reidentified:
    """Give a Part 10 file its identity back (PS3.3 C.7.1, C.7.2).

    Raises NoWayBack where the vault does not lead all the way, DeidFault when the object cannot
    be read, another of the vault's faults for its keys and rows; messages hold tags and
    pseudonyms, never originals.
    """
    try:
        return _reidentify(memoryview(part10), way_back)
    except Fault:
        raise
    except Exception as fault:  # noqa: BLE001  (fail closed: whatever broke, nothing may leave)
        raise DeidFault(broke_off("re-identification", fault)) from None


def _reidentify(part10: memoryview, way_back: WayBack) -> Reidentified:
    opened = open_part10(part10)
    read = parse.read(opened.dataset, opened.encoding)
    elements = with_private_items(read, opened.encoding)
    patient = _required(elements, modules.PATIENT_ID)
    study = _required(elements, modules.STUDY_INSTANCE_UID)
    sop_class, sop = (_required(elements, tag) for tag in (_SOP_CLASS, _SOP_INSTANCE))
    series = _required(elements, _SERIES)
    snapshot = way_back.study(patient, study)
    named = {uid for element in parse.every(elements) for uid in _uids(element)}
    known = way_back.uids(patient, sorted(named))
    own = frozenset({sop, series})
    _check(elements, snapshot, known, own)
    back = _Back(opened, snapshot, known, charsets.agree(elements, snapshot), patient)
    written, bulk = back.dataset(elements)
    head = b"".join(written[tag] for tag in sorted(written.keys() - bulk.keys()))
    replaced = frozenset(uid for uid, old in known.items() if uid != old)
    second_look.check(head, opened.encoding, snapshot, own | set(known.values()), replaced)
    return Reidentified(
        sop_class_uid=sop_class,
        sop_instance_uid=sop,
        series_instance_uid=known.get(series, series),
        study_instance_uid=snapshot.study_instance_uid,
        transfer_syntax_uid=opened.transfer_syntax_uid,
        chunks=close_part10(
            _chunks(written, bulk),
            opened=opened,
            sop_class_uid=sop_class,
            sop_instance_uid=sop,
        ),
        account=tuple(_account(elements, snapshot, known)),
    )


def _required(elements: tuple[Element, ...], tag: int) -> str:
    value = ascii_value(elements, tag)
    if not value:
        raise NoWayBack(f"{name(tag)} is missing: nobody can say whose result this is")
    return value


def _uids(element: Element) -> list[str]:
    """List the UIDs that an element holds, also where its VR is not known."""
    if element.items is not None:
        return []
    vrs = {element.vr, dictionary_vr(element.tag)}
    value = element.value
    if "UI" in vrs or (vrs == {"UN", ""} and len(value) < _BULK_BYTES and _is_dotted(value)):
        return [uid for uid in uid_values(bytes(value)) if uid]
    return []


def _is_dotted(value: memoryview) -> bool:
    return _DOTTED.fullmatch(value) is not None


def _check(
    elements: tuple[Element, ...],
    snapshot: Snapshot,
    known: Mapping[str, str],
    own: frozenset[str],
) -> None:
    """Raise NoWayBack unless every part of the result leads to the same patient's original."""
    study = ascii_value(elements, modules.STUDY_INSTANCE_UID)
    if known.get(study, study) != snapshot.study_instance_uid:
        raise NoWayBack("the vault's rows of this study do not belong together")
    sop = ascii_value(elements, _SOP_INSTANCE)
    if sop in known:
        raise NoWayBack(
            f"{name(_SOP_INSTANCE)} is that of an object that was de-identified here;"
            " a result needs a SOP Instance UID of its own"
        )
    for element in parse.every(elements):
        for uid in _uids(element):
            if uid in known or uid in own:
                continue
            if looks_ours(uid):
                raise NoWayBack(f"{name(element.tag)} holds a pseudonym that the vault has not")
            if element.tag == modules.STUDY_INSTANCE_UID and uid != study:
                raise NoWayBack(f"{name(element.tag)} names a study that the vault has not")
        if _is_opaque(element) and any(
            looks_ours(found.decode("ascii")) for found in _OURS.findall(element.value)
        ):
            raise NoWayBack(f"{name(element.tag)} holds a pseudonym where it cannot be replaced")


def _is_opaque(element: Element) -> bool:
    """Whether bytes of a private or unknown attribute are passed on without being understood."""
    is_unknown = not dictionary_vr(element.tag) and element.vr in {"UN", "SQ", "OB"}
    return is_unknown and element.items is None and not _uids(element)


@dataclass(frozen=True, slots=True)
class _Back:
    """One result on its way back."""

    opened: Opened
    snapshot: Snapshot
    known: Mapping[str, str]
    agreement: Agreement
    patient: str

    def dataset(
        self, elements: tuple[Element, ...]
    ) -> tuple[dict[int, bytes], dict[int, memoryview]]:
        """Write the new dataset: each element's bytes by tag; of bulk values the header alone."""
        encoding, dropped = self.opened.encoding, _SIGNATURES
        if self.agreement.to_utf_8:
            dropped |= {modules.CHARACTER_SET}
        rewriter = Rewriter(self._change, dropped)
        codecs = codecs_of(elements, text.DEFAULT_CODECS)
        written: dict[int, bytes] = {}
        bulk: dict[int, memoryview] = {}
        for element in elements:
            tag = element.tag
            if tag == modules.CHARACTER_SET or modules.belongs(tag) or tag in markers.TAGS:
                continue
            if _is_bulk(element):
                length = parse.UNDEFINED if element.undefined else len(element.value)
                written[tag] = encode.header(tag, element.vr, length, encoding)
                bulk[tag] = element.value
            else:
                written[tag] = rewriter.element(element, encoding, encoding, codecs)
        written |= self._identity()
        return written, bulk

    def _identity(self) -> dict[int, bytes]:
        """Write the snapshot's attributes, in the result's encoding and character set."""
        encoding = self.opened.encoding
        as_text = Rewriter(
            self._original, frozenset({modules.CHARACTER_SET} if self.agreement.to_utf_8 else ())
        )
        written = {
            element.tag: as_text.element(
                element, parse.EXPLICIT_LITTLE, encoding, self.snapshot.codecs
            )
            for element in self.snapshot.elements
            if element.tag != modules.CHARACTER_SET
        }
        if self.agreement.character_set:
            tag = modules.CHARACTER_SET
            written[tag] = encode.element(tag, "CS", self.agreement.character_set, encoding)
        return written

    def _original(self, element: Element, codecs: Codecs) -> bytes:
        value = bytes(element.value)
        return (
            self.agreement.text(value, codecs, element.tag) if charsets.is_text(element) else value
        )

    def _change(self, element: Element, codecs: Codecs) -> bytes:
        """Give the new value of one of the result's own elements."""
        value = bytes(element.value)
        if uids := _uids(element):
            if self.known.keys().isdisjoint(uids):
                return value
            mapped = (self.known.get(uid, uid) for uid in uid_values(value))
            return "\\".join(mapped).encode("ascii")
        if not charsets.is_text(element):
            return value
        # A name of one part is often written with a caret behind it.
        if value.strip(b"\0 ^") == self.patient.encode("ascii"):
            tag = modules.PATIENT_NAME if element.vr == "PN" else modules.PATIENT_ID
            return self.agreement.text(self.snapshot.value(tag), self.snapshot.codecs, tag)
        return self.agreement.text(value, codecs, element.tag)


def _is_bulk(element: Element) -> bool:
    """Whether a value is passed on as a slice of the input."""
    if element.tag in parse.PIXELS or (element.undefined and element.items is None):
        return True
    size = len(element.value)
    return element.vr in _BULK_VRS and size >= _BULK_BYTES and size % 2 == 0


def _chunks(written: Mapping[int, bytes], bulk: Mapping[int, memoryview]) -> Iterator[Chunk]:
    """Join neighbouring bytes, leave slices alone."""
    small: list[bytes] = []
    for tag in sorted(written):
        small.append(written[tag])
        if tag in bulk:
            yield b"".join(small)
            yield bulk[tag]
            small = []
    if small:
        yield b"".join(small)


def _account(
    elements: Iterable[Element], snapshot: Snapshot, known: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    there = {element.tag for element in snapshot.elements} - {modules.CHARACTER_SET}
    yield from ((name(tag), "restored") for tag in sorted(there))
    for element in elements:
        tag = element.tag
        if tag not in there and (modules.belongs(tag) or tag in markers.TAGS | _SIGNATURES):
            yield name(tag), "removed"
    yield "UID", f"{len(known)} mapped"
