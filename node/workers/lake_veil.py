"""What a lake shows under a de-identification profile: what de-identified objects show, no more.

An Instance's head is de-identified as its object would be, by the same engine and key, and read
again from what came out: pseudonyms, new UIDs and moved dates are those that objects leave with. Of
what the node itself knows, only what tells of nobody is shown: no title, no address, no digest of
an original, and when something was done only where dates stay. What may not leave as an object has
no row.
"""

import datetime as dt
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deid.apply import Deidentified, deidentify_head
from deid.profile import Profile
from dicom.errors import CannotUnderstand, Corrupt, DeidFault, Fault
from dicom.modality import is_modality
from node.workers.lake_view import Shown, head_of, iso, of_every_receipt, of_every_view
from node.workers.workshop import Workshop
from storage.lake.parts import Placed
from storage.lake.paths import OTHER, UNDATED, day_of, safe_modality
from storage.lake.values import Value, moment_of
from storage.ledger.lake_rows import LakeInstance, LakeReceipt

TOGETHER: Final = 32
"""So many ways back are kept in one transaction of the vault."""
_HOUR_S: Final = 3600
_TELLING: Final = frozenset(
    {"destination", "fault", "kind", "lake", "model", "origin", "outcome", "profile", "rule"}
)
"""Facts of events that are words of the config or of the code."""
_LARGEST: Final = 1e9
"""What is larger is no count, but may be a moment."""
TOGETHER_BYTES: Final = 64 << 20
"""Nor more objects than take so much memory where the spool is encrypted."""


class NotHere(DeidFault):
    """The spool has let go of an object, so that its head cannot be de-identified any more."""

    code = "not-here"


@dataclass(slots=True)
class _Treated:
    one: LakeInstance
    original: memoryview
    outcome: Deidentified | Fault


@dataclass(frozen=True, slots=True)
class Veiled:
    """Everything as a profile lets it leave."""

    workshop: Workshop
    rules: Profile

    @property
    def profile(self) -> str:
        """The profile's digest."""
        return self.rules.digest

    @property
    def orders_by(self) -> str:
        """New UIDs, whose order says nothing."""
        return "SOPInstanceUID"

    def instances(self, some: Iterable[LakeInstance]) -> Iterator[Shown]:
        """Show Instances; the way back is kept before a row is given, where one is kept at all."""
        if self.rules.reversible:
            self.workshop.vault()  # one that cannot be opened is told before any work is done
        batch: list[_Treated] = []
        for one in some:
            batch.append(self._treated(one))
            held_bytes = sum(len(each.original) for each in batch)
            if len(batch) == TOGETHER or held_bytes > TOGETHER_BYTES:
                yield from self._shown(batch)
                batch = []
        yield from self._shown(batch)

    def _treated(self, one: LakeInstance) -> _Treated:
        if one.is_released:
            gone = NotHere(f"{one.instance.arrival.sop_instance_uid} has left the spool")
            return _Treated(one, memoryview(b""), gone)
        try:
            original = self.workshop.reader.view(one.instance.location)
            made = deidentify_head(original, self.rules)
        except (DeidFault, Corrupt) as fault:
            return _Treated(one, memoryview(b""), fault)
        # The vault reads the original too; nobody else needs it any more.
        return _Treated(one, original if self.rules.reversible else memoryview(b""), made)

    def _shown(self, batch: Sequence[_Treated]) -> Iterator[Shown]:
        if self.rules.reversible:
            self._keep(batch)
        for each in batch:
            yield each.one, self._placed(each)

    def _keep(self, batch: Sequence[_Treated]) -> None:
        clean = [each for each in batch if isinstance(each.outcome, Deidentified)]
        try:
            self._keep_all(clean)
        except DeidFault:  # one of them has no way back: that one may not leave
            for each in clean:
                try:
                    self._keep_all([each])
                except DeidFault as fault:
                    each.outcome = fault

    def _keep_all(self, some: Sequence[_Treated]) -> None:
        project = self.workshop.settings.profiles[self.rules.name].project
        pairs = [
            (each.outcome, each.original) for each in some if isinstance(each.outcome, Deidentified)
        ]
        if pairs:
            self.workshop.vault().keep_all(project, pairs)

    def _placed(self, each: _Treated) -> Placed | Fault:
        made = each.outcome
        if isinstance(made, Fault):
            return made
        try:
            row = head_of(io.BytesIO(b"".join(made.chunks)), made.transfer_syntax_uid)
        except CannotUnderstand as fault:
            return DeidFault(f"what was de-identified cannot be read: {fault}")
        moment, day = self._moment(each.one.instance.arrival.received_at)
        if moment is None and isinstance(row["StudyDate"], dt.date):
            day = row["StudyDate"].isoformat()  # as the profile moved it
        row |= {**of_every_view(each.one, self.profile), "received_at": moment}
        return Placed(day, safe_modality(str(row["modality_as_written"] or "")), row)

    def _moment(self, seconds: float) -> tuple[Value, str]:
        """Say when something was, and which partition that is, as far as the profile lets on.

        Moved, a moment of the node's own would give the days away: files show when they were
        written, and what was received is exported soon.
        """
        if self.rules.stays.dates:
            return moment_of(seconds), day_of(seconds)
        return None, UNDATED

    def receipt(self, one: LakeReceipt) -> Placed:
        """Show a receipt by the UIDs that its original leaves with under this profile."""
        own = one.receipt
        is_ours = own["profile"] == self.profile
        study, series, source = map(
            self._uid, (one.study_instance_uid, one.series_instance_uid, own["source_uid"])
        )
        row: dict[str, Value] = {
            **of_every_receipt(one),
            "StudyInstanceUID": study,
            "SeriesInstanceUID": series,
            "source_uid": source,
            "left_as": own["sop_instance_uid"] if is_ours else None,
            "left_as_study": own["study_instance_uid"] if is_ours else None,
            "left_as_series": own["series_instance_uid"] if is_ours else None,
            # Of what else left, a digest would tell which object it is.
            "digest_sent": own["digest_sent"] if is_ours else None,
            "digest_read_back": own["digest_read_back"] if is_ours else None,
            "size_bytes": own["size_bytes"] if is_ours else None,
        }
        moment, day = self._moment(own["delivered_at"])
        # As the original has it: whatever a scanner put there, only a defined term leaves.
        modality = one.modality if is_modality(one.modality) else OTHER
        return Placed(day, modality, row | {"delivered_at": moment})

    def _uid(self, original: str) -> Value:
        """Say which UID an original has under the profile."""
        if not original or self.rules.stays.all_uids:
            return original or None
        return self.rules.pseudonyms.uid(original)

    def event(self, one: Mapping[str, Any]) -> Placed:
        """Show of an event what happened, where and how often, but not to whom; and to the hour."""
        at = one["at"] if self.rules.stays.dates else one["at"] // _HOUR_S * _HOUR_S
        facts = {
            key: value
            for key, value in one["data"].items()
            if _is_count(value) or (key in _TELLING and isinstance(value, str))
        }
        row = {
            "id": None,
            "type": one["type"],
            "subject": None,
            "happened_at": iso(at),
            "data": facts,
        }
        return Placed(day_of(at), "", row)


def _is_count(value: object) -> bool:
    return isinstance(value, (bool, int, float)) and abs(value) < _LARGEST
