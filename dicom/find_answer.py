"""The identifiers of matches as bytes, and the command sets before them (PS3.7 9.3.2.2).

Written straight from an index row's texts, with no dataset in between: it is what makes a
thousand matches quick.
"""

import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from dicom import charset, json_sequence, nested, pdu
from dicom.identifier import QUERY_RETRIEVE_LEVEL
from dicom.layout import NUMBERS, Layout
from dicom.message import C_FIND_RSP, COMMENT_LIMIT, NO_DATASET, command_element
from dicom.query import INSTANCE_AVAILABILITY, RETRIEVE_AE_TITLE, Query

_DATASET: Final = 1
_US: Final = struct.Struct("<H")
_AT: Final = struct.Struct("<HH")

MANY_BYTES: Final = 0xFFFE
"""Shorter values fit every VR."""

Encode = Callable[[str], bytes]
Write = Callable[[str], bytes]
Plan = tuple[list[tuple[int, Write]], bytes]
"""The place of each value in a row with what writes it, and what comes after the last."""


class Responses:
    """Writes the messages that answer one request, as P-DATA-TF PDUs."""

    def __init__(
        self, context_id: int, message_id: int, sop_class_uid: str, peer_max_bytes: int
    ) -> None:
        self._context_id = context_id
        self._peer_max_bytes = peer_max_bytes
        self._room = (min(peer_max_bytes, pdu.PDU_LIMIT) or pdu.PDU_LIMIT) - pdu.PDV_BYTES
        self._named = command_element(0x0002, sop_class_uid.encode("ascii", "replace"), b"\0")
        self._asked = command_element(0x0120, _US.pack(message_id))
        self._pending: dict[int, bytes] = {}

    def pending(self, code: int, identifier: bytes) -> bytes:
        """Write one match; the code is 0xFF00 or 0xFF01."""
        command = self._pending.get(code)
        if command is None:
            command = self._pending[code] = self._command(code, _DATASET)
        size = len(identifier)
        if size <= self._room:
            return b"".join((command, pdu.dataset_header(self._context_id, size), identifier))
        whole = [command]
        view = [memoryview(identifier)]
        for header, parts in pdu.dataset_pdus(self._context_id, view, self._peer_max_bytes):
            whole += [header, *(bytes(part) for part in parts)]
        return b"".join(whole)

    def last(self, code: int, comment: str = "", offending: int | None = None) -> bytes:
        """Write the message that ends the answer; a comment and an element go with failures."""
        tag = b"" if offending is None else _AT.pack(offending >> 16, offending & 0xFFFF)
        words = comment.encode("ascii", "replace")[:COMMENT_LIMIT]
        more = command_element(0x0901, tag) + command_element(0x0902, words, b" ")
        return self._command(code, NO_DATASET, more)

    def _command(self, code: int, kind: int, more: bytes = b"") -> bytes:
        body = b"".join(
            (
                self._named,
                command_element(0x0100, _US.pack(C_FIND_RSP)),
                self._asked,
                command_element(0x0800, _US.pack(kind)),
                command_element(0x0900, _US.pack(code)),
                more,
            )
        )
        whole = command_element(0x0000, struct.pack("<L", len(body))) + body
        return pdu.command_pdus(self._context_id, whole, self._peer_max_bytes)


class Identifiers:
    """Writes the identifiers of one query's matches.

    SpecificCharacterSet is absent where ASCII is enough, else the requester's where it can carry
    every value, else ISO_IR 192 (PS3.4 C.4.1.1.3.2).
    """

    def __init__(self, query: Query, retrieve_ae: str, transfer_syntax_uid: str) -> None:
        self._query = query
        self._retrieve_ae = retrieve_ae
        self._layout = Layout.of(transfer_syntax_uid)
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._plain = self._plan(())

    def identifier(self, texts: Sequence[str], availability: str = "") -> bytes:
        """Write one match: texts of the query's returned attributes, in their order.

        `availability` is told where InstanceAvailability was asked for.
        """
        row = (*texts, availability)
        plan, end = self._plain
        try:
            found = b"".join([write(row[place]) for place, write in plan])
        except UnicodeEncodeError:
            plan, end = self._plan(charset.answer_terms(texts, self._query.character_set))
            found = b"".join([write(row[place]) for place, write in plan])
        return self._layout.whole(found + end)

    def _plan(self, terms: tuple[str, ...]) -> Plan:
        if terms not in self._plans:
            self._plans[terms] = self._new_plan(terms)
        return self._plans[terms]

    def _new_plan(self, terms: tuple[str, ...]) -> Plan:
        """Say who writes which value, in the order of tags, with what is the same for all."""
        query, layout = self._query, self._layout
        encode: Encode = _ascii
        fixed = [
            layout.element(QUERY_RETRIEVE_LEVEL, "CS", query.level.encode()),
            layout.element(RETRIEVE_AE_TITLE, "AE", self._retrieve_ae.encode("ascii", "replace")),
        ]
        before = b""
        if terms:
            encode = partial(charset.encode, declared=charset.encodings(terms))
            before = layout.element(charset.SPECIFIC_CHARACTER_SET, "CS", "\\".join(terms).encode())
        asked = [(one.tag, one.vr, place) for place, one in enumerate(query.returning)]
        if query.with_availability:
            asked.append((INSTANCE_AVAILABILITY, "CS", len(asked)))
        plan: list[tuple[int, Write]] = []
        for tag, vr, place in sorted(asked):
            if tag > QUERY_RETRIEVE_LEVEL and fixed:
                before += b"".join(fixed)
                fixed.clear()
            if vr == "SQ":
                plan.append((place, _sequence_writer(query, tag, layout, encode, before)))
            else:
                plan.append((place, _writer(layout, tag, vr, encode, before)))
            before = b""
        return plan, before + b"".join(fixed)


def _sequence_writer(
    query: Query, tag: int, layout: Layout, encode: Encode, before: bytes
) -> Write:
    """Make what writes a sequence's items that are meant, and what is told of them."""
    told = query.inside.get(tag, frozenset())
    keys = next((one.keys for one in query.sequences if one.attribute.tag == tag), ())

    def write(text: str) -> bytes:
        items = nested.meant_items(keys, text)
        return before + layout.element(
            tag, "SQ", json_sequence.encoded(items, layout, encode, told)
        )

    return write


def _writer(layout: Layout, tag: int, vr: str, encode: Encode, before: bytes) -> Write:
    """Make what writes one attribute's texts, after bytes that are always the same."""
    if vr in NUMBERS:
        return lambda text: before + layout.element(tag, vr, layout.number(vr, text))
    start, length = layout.start(tag, vr)
    start = before + start
    empty = start + length(0)
    pad = b"\0" if vr == "UI" else b" "
    if vr not in charset.LOCALISED:
        encode = _bare

    def write(text: str) -> bytes:
        if not text:
            return empty
        raw = encode(text)
        if len(raw) % 2:
            raw += pad
        if len(raw) > MANY_BYTES and layout.is_too_long(vr, raw):
            return before + layout.element(tag, vr, raw)
        return start + length(len(raw)) + raw

    return write


def _ascii(text: str) -> bytes:
    return text.encode("ascii")


def _bare(text: str) -> bytes:
    return text.encode("ascii", "replace")
