"""What a lake shows of Instances, receipts and events where patients may be named in it.

The other view, for whom they may not, is lake_veil.py.
"""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from dicom import head
from dicom.errors import CannotUnderstand, Corrupt, DeidFault, Fault
from dicom.json_head import head_json
from storage.lake.parts import Placed
from storage.lake.paths import day_of, safe_modality
from storage.lake.values import Value, described, moment_of
from storage.ledger.lake_rows import LakeInstance, LakeReceipt
from storage.spool.reader import SpoolReader

MOST_HEAD: Final = 1 << 20
"""A head whose JSON is longer is left out of its row: analysts' tools choke on such values."""

Shown = tuple[LakeInstance, Placed | Fault]
"""An Instance with its row, or why it may not leave."""


class View(Protocol):
    """How a lake shows what the ledger and the spool hold."""

    @property
    def profile(self) -> str:
        """The digest of the profile under which rows leave; "" where identity is kept."""

    @property
    def orders_by(self) -> str:
        """The column that rows of Instances are put in order by; "" for the order of arrival."""

    def instances(self, some: Iterable[LakeInstance]) -> Iterator[Shown]:
        """Show Instances, in their order. Raises a StorageFault of the spool."""

    def receipt(self, one: LakeReceipt) -> Placed:
        """Show a receipt."""

    def event(self, one: Mapping[str, Any]) -> Placed:
        """Show an event."""


@dataclass(frozen=True, slots=True)
class Named:
    """Everything as it is."""

    reader: SpoolReader
    profile: str = ""
    orders_by: str = ""

    def instances(self, some: Iterable[LakeInstance]) -> Iterator[Shown]:
        """Show Instances; what the spool has let go of keeps what the ledger knows."""
        for one in some:
            yield one, self._placed(one)

    def _placed(self, one: LakeInstance) -> Placed | Fault:
        arrival = one.instance.arrival
        row: dict[str, Value] = {
            "received_at": moment_of(arrival.received_at),
            "calling_ae": arrival.calling_ae,
            "called_ae": arrival.called_ae,
            "address": arrival.address,
            "association": arrival.association,
            "digest": one.instance.digest,
            "length_bytes": one.instance.location.length,
            **of_every_view(one, self.profile),
        }
        modality = one.modality
        if one.is_released:
            row |= {"head_state": "released"}
        else:
            try:
                with self.reader.open(one.instance.location) as file:
                    found = head_of(file, arrival.transfer_syntax_uid)
            except CannotUnderstand:
                row |= {"head_state": "unreadable"}
            except Corrupt as fault:
                return fault
            else:
                row |= found
                modality = str(found["modality_as_written"] or "")
        row |= {
            "StudyInstanceUID": one.study_instance_uid,
            "SeriesInstanceUID": one.series_instance_uid,
            "SOPInstanceUID": arrival.sop_instance_uid,
            "SOPClassUID": arrival.sop_class_uid,
        }
        return Placed(day_of(arrival.received_at), safe_modality(modality), row)

    def receipt(self, one: LakeReceipt) -> Placed:
        """Show a receipt with the UIDs and digests of both ends."""
        own = one.receipt
        row = {
            **of_every_receipt(one),
            "receipt": own["id"],
            "job": own["job"],
            "location": own["location"],
            "StudyInstanceUID": one.study_instance_uid,
            "SeriesInstanceUID": one.series_instance_uid,
            "source_uid": own["source_uid"],
            "source_digest": own["source_digest"],
            "left_as_study": own["study_instance_uid"],
            "left_as_series": own["series_instance_uid"],
            "left_as": own["sop_instance_uid"],
            "digest_sent": own["digest_sent"],
            "digest_read_back": own["digest_read_back"],
            "etag": own["etag"],
            "size_bytes": own["size_bytes"],
            "delivered_at": moment_of(own["delivered_at"]),
        }
        return Placed(day_of(own["delivered_at"]), safe_modality(one.modality), row)

    def event(self, one: Mapping[str, Any]) -> Placed:
        """Show an event as it was told."""
        return Placed(day_of(one["at"]), "", {**one, "happened_at": iso(one["at"])})


def head_of(part10_file: BinaryIO, transfer_syntax_uid: str) -> dict[str, Value]:
    """Give the columns that a Part 10 file's own head fills. Raises CannotUnderstand."""
    texts = head.read_file(part10_file, transfer_syntax_uid)
    row = described(texts)
    row["modality_as_written"] = texts.get("Modality")
    found = head_json(part10_file, transfer_syntax_uid)
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    is_large = len(text) > MOST_HEAD
    row |= {"head": None if is_large else text, "head_state": "large" if is_large else "whole"}
    return row


def of_every_view(one: LakeInstance, profile: str) -> dict[str, Value]:
    """Give the columns about an Instance that tell of nobody."""
    arrival = one.instance.arrival
    return {
        "origin": str(arrival.origin),
        "rule": arrival.rule or None,
        "transfer_syntax_uid": arrival.transfer_syntax_uid,
        "conflict": one.conflict,
        "profile": profile,
    }


def of_every_receipt(one: LakeReceipt) -> dict[str, Value]:
    """Give the columns about a receipt that tell of nobody."""
    own = one.receipt
    came = one.received_at
    return {
        "destination": own["destination"],
        "sop_class_uid": own["sop_class_uid"],
        "profile": own["profile"],
        "proof": own["proof"],
        "rule": own["rule"],
        "attempt": own["attempt"],
        "delay_s": None if came is None else round(own["delivered_at"] - came, 6),
    }


def iso(seconds: float) -> str:
    """Write a moment, seconds since the epoch, as ISO 8601 in UTC."""
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def is_withheld(shown: Placed | Fault) -> bool:
    """Whether an Instance may not leave."""
    return isinstance(shown, (DeidFault, Corrupt))
