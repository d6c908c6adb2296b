"""What became of the objects of one STOW-RS request, as it is answered (PS3.18 10.5.3, Annex I)."""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from dicom import native_xml, status
from dicom.errors import Fault

JSON: Final = "application/dicom+json"
XML: Final = "application/dicom+xml"
MOST_TOLD: Final = 100_000
"""Results in one answer; of more, the counts are right and the rest is in the log."""
_REFUSED: Final = frozenset({status.OUT_OF_RESOURCES})


@dataclass(frozen=True, slots=True)
class Result:
    """One object; its UIDs as far as they are known and fit to be said again."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    failure: int | None = None
    """A Failure Reason (PS3.18 Table I.2-2); None where it is stored."""
    words: str = ""
    size_bytes: int = 0


def failed(fault: Fault, known: Result = Result()) -> Result:
    """Make the result of an object that was not stored."""
    return Result(
        known.sop_class_uid, known.sop_instance_uid, known.study_instance_uid,
        known.series_instance_uid, fault.status, str(fault),
    )  # fmt: skip


@dataclass(slots=True)
class Outcome:
    """All of a request."""

    results: list[Result | None] = field(default_factory=list)
    """In the order in which objects came; None for one that is still on its way to disk."""
    broken: str = ""
    """Why the body could not be read to its end."""

    def reserve(self) -> int:
        """Keep a place for an object that is not on disk yet."""
        self.results.append(None)
        return len(self.results) - 1

    def fill(self, place: int, result: Result) -> None:
        """Note in its place what became of it."""
        self.results[place] = result

    def add(self, result: Result) -> None:
        """Note one object."""
        self.results.append(result)

    @property
    def stored(self) -> list[Result]:
        """Those that are on disk."""
        return [one for one in self.results if one is not None and one.failure is None]

    @property
    def failed(self) -> list[Result]:
        """Those that are not."""
        return [one for one in self.results if one is not None and one.failure is not None]

    @property
    def status(self) -> int:
        """The HTTP status (PS3.18 Table 10.5.3-1).

        200 all, 202 some, 409 none, 503 none for want of room, 400 where there was nothing to
        store, or where what could be read of a broken body held nothing that was stored.
        """
        stored, failed = self.stored, self.failed
        if stored:
            return 202 if failed or self.broken else 200
        if failed and all(one.failure in _REFUSED for one in failed):
            return 503
        return 400 if self.broken or not failed else 409

    def body(self, url: str, *, xml: bool = False) -> bytes:
        """Write the Store Instances Response Module; `url` is the service's."""
        module: dict[str, Any] = {}
        stored, failed = self.stored, self.failed
        named = [one for one in failed if one.sop_instance_uid]
        others = [one for one in failed if not one.sop_instance_uid]
        if named:
            module["00081198"] = _sequence([_reference(one) | _reason(one) for one in named])
        if stored:
            items = [_reference(one) | _element("00081190", "UR", _url(one, url))
                     for one in stored]  # fmt: skip
            module["00081199"] = _sequence(items)
        if others:
            module["0008119A"] = _sequence([_reason(one) for one in others])
        studies = {one.study_instance_uid for one in stored}
        if len(studies) == 1:
            module |= _element("00081190", "UR", f"{url}/studies/{studies.pop()}")
        ordered = dict(sorted(module.items()))
        return native_xml.write(ordered) if xml else json.dumps(ordered).encode()


def _url(one: Result, url: str) -> str:
    return (
        f"{url}/studies/{one.study_instance_uid}/series/{one.series_instance_uid}"
        f"/instances/{one.sop_instance_uid}"
    )


def _reference(one: Result) -> dict[str, Any]:
    return _element("00081150", "UI", one.sop_class_uid) | _element(
        "00081155", "UI", one.sop_instance_uid
    )


def _reason(one: Result) -> dict[str, Any]:
    # 0008,0903 would be a place for words; clients read the number alone (PS3.3 C.36.3).
    return _element("00081197", "US", one.failure)


def _element(tag: str, vr: str, value: object) -> dict[str, Any]:
    return {tag: {"vr": vr, "Value": [value]} if value else {"vr": vr}}


def _sequence(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"vr": "SQ", "Value": [dict(sorted(one.items())) for one in items[:MOST_TOLD]]}
