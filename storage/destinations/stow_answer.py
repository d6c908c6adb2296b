"""What a server's answer to STOW-RS says of each object, and multipart bodies; pure.

PS3.18 10.5.3: the Store Instances Response Module lists what was stored and what was not, as DICOM
JSON (PS3.18 F) or as the Native DICOM Model (PS3.19 A.1).
"""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.etree import ElementTree as ET

from dicom import status
from dicom.store_answer import Meaning, row
from storage.destinations.base import Outgoing

_REFERENCED: Final = "00081199"
_FAILED: Final = "00081198"
_SOP_INSTANCE: Final = "00081155"
_WARNING_REASON: Final = "00081196"
_FAILURE_REASON: Final = "00081197"
_ALREADY_THERE: Final = 0xB00E
"""The failure reason (45070) for an object that it holds already, in the conformance statement of
Azure Health Data Services."""
SLICE_BYTES: Final = 1 << 18
_PART: Final = b"Content-Type: application/dicom\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one object."""

    meaning: Meaning
    words: str
    is_vague: bool = False
    """Whether it was not stored for no reason, or for one that may mean anything."""


def verdicts(content_type: str, body: bytes) -> dict[str, Verdict]:
    """Read what the answer says of each object, by SOP Instance UID; {} where it says nothing."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind.endswith("json"):
            found = json.loads(body)
            tables = found if isinstance(found, list) else [found]
            dataset = next((one for one in tables if isinstance(one, dict)), {})
        elif kind.endswith("xml"):
            dataset = _of_xml(body)
        else:
            return {}
    except (ValueError, ET.ParseError, RecursionError):
        return {}
    judged = {uid: _stored(item) for uid, item in _items(dataset, _REFERENCED)}
    # An object in both is taken for not stored.
    return judged | {uid: _failed(item) for uid, item in _items(dataset, _FAILED)}


def _stored(item: dict[str, Any]) -> Verdict:
    code = _number(item, _WARNING_REASON)
    if code is None or not code:
        return Verdict(Meaning.STORED, "")
    return Verdict(Meaning.WARNED, f"stored with a warning: 0x{code:04X} {row(code).words}")


def _failed(item: dict[str, Any]) -> Verdict:
    code = _number(item, _FAILURE_REASON)
    if code is None:
        return Verdict(Meaning.REFUSED, "not stored, without a reason", is_vague=True)
    found = row(code)
    if code == _ALREADY_THERE or found.meaning is Meaning.THERE:
        return Verdict(Meaning.THERE, f"already there: 0x{code:04X}")
    meaning = Meaning.BUSY if found.meaning is Meaning.BUSY else Meaning.REFUSED
    is_vague = code == status.PROCESSING_FAILURE
    return Verdict(meaning, f"{meaning}: 0x{code:04X} {found.words}", is_vague)


def _items(dataset: dict[str, Any], tag: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in _values(dataset, tag):
        if isinstance(item, dict):
            uid = next(iter(_values(item, _SOP_INSTANCE)), None)
            if isinstance(uid, str):
                yield uid.strip("\0 "), item


def _values(dataset: dict[str, Any], tag: str) -> list[Any]:
    element = dataset.get(tag)
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []


def _number(item: dict[str, Any], tag: str) -> int | None:
    found = next(iter(_values(item, tag)), None)
    try:
        number = int(found) if found is not None else None
    except (TypeError, ValueError):
        return None
    return number if number is not None and 0 <= number <= 0xFFFF else None


def _of_xml(body: bytes) -> dict[str, Any]:
    """Give what the Native DICOM Model says in the shape of DICOM JSON, as far as it is needed."""
    if b"<!" in body.replace(b"<!--", b""):  # no honest answer declares entities
        return {}
    return _xml_dataset(ET.fromstring(body))  # noqa: S314  (declarations are turned away)


def _xml_dataset(node: ET.Element) -> dict[str, Any]:
    dataset: dict[str, Any] = {}
    for attribute in node:
        if not attribute.tag.endswith("DicomAttribute"):
            continue
        values = [
            _xml_dataset(child) if child.tag.endswith("Item") else (child.text or "")
            for child in attribute
        ]
        dataset[attribute.get("tag", "").upper()] = {"Value": values}
    return dataset


def instances(body: bytes) -> list[str]:
    """List the SOP Instance UIDs in an answer to QIDO-RS (PS3.18 10.6.3)."""
    try:
        found = json.loads(body) if body else []
    except (ValueError, RecursionError):
        return []
    listed = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    uids = (next(iter(_values(one, "00080018")), None) for one in listed)
    return [uid for uid in uids if isinstance(uid, str)]


def multipart_bytes(objects: Sequence[Outgoing], boundary: str) -> int:
    """Count the bytes of `multipart`."""
    frame = len(_head(boundary)) + 2
    return sum(frame + each.size_bytes for each in objects) + len(_end(boundary))


def multipart(objects: Sequence[Outgoing], boundary: str) -> Iterator[bytes]:
    """Write Part 10 files as multipart/related (RFC 2387, PS3.18 8.6.1.2), in small pieces."""
    for each in objects:
        yield _head(boundary)
        for chunk in each.chunks:
            view = memoryview(chunk)
            for start in range(0, len(view), SLICE_BYTES):
                yield bytes(view[start : start + SLICE_BYTES])
        yield b"\r\n"
    yield _end(boundary)


def _head(boundary: str) -> bytes:
    return b"--" + boundary.encode("ascii") + b"\r\n" + _PART


def _end(boundary: str) -> bytes:
    return b"--" + boundary.encode("ascii") + b"--\r\n"


def boundary_of(content_type: str) -> str:
    """Read the boundary of a multipart Content-Type; "" where there is none."""
    found = re.search(r'boundary="?([^";]+)"?', content_type, re.IGNORECASE)
    return found[1].strip() if found else ""


def first_part_digest(pieces: Iterator[bytes], boundary: str) -> str:
    """Compute the SHA-256 (hex) of the first part of a multipart body; "" where it breaks off.

    Keeps no more than a piece of it in memory.
    """
    held = bytearray()
    for piece in pieces:
        held += piece
        if b"\r\n\r\n" in held:
            break
    else:
        return ""
    del held[: held.index(b"\r\n\r\n") + 4]
    sha, mark = hashlib.sha256(), b"\r\n--" + boundary.encode("ascii", "replace")
    while mark not in held:
        keep = len(mark) - 1  # what may be the mark's beginning
        sha.update(held[:-keep])
        del held[:-keep]
        more = next(pieces, b"")
        if not more:
            return ""
        held += more
    sha.update(held[: held.index(mark)])
    return sha.hexdigest()
