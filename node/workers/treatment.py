"""What happens to an object's identity before it leaves: nothing, its removal, or its return.

A treatment makes objects ready, keeps the way back where the profile is reversible, and notes
what it did as evidence. It sends nothing.
"""

import importlib.metadata
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from config.model import Settings
from deid.apply import Deidentified, deidentify
from deid.evidence.description import describe
from deid.profile import Profile
from deid.vault.reidentify import Reidentified
from dicom.entity import Instance
from dicom.errors import DeidFault, Fault, Invalid
from dicom.validation import Finding, summary, validate
from node.vault import this_job
from node.workers.workshop import Workshop
from routing.job import Job, Kind
from storage.destinations.base import Outgoing
from storage.evidence.entry import Account, Clean, Entry, Source
from storage.ledger.events import NewEvent

TOGETHER: Final = 32
"""So many objects' ways back are kept in one transaction before the first of them leaves."""
_VERSION: Final = importlib.metadata.version("penumbra-node")

Ready = tuple[Instance, Outgoing | DeidFault]
"""An object that may leave, or why it may not."""


class Treatment(Protocol):
    """One job's way of making objects ready."""

    @property
    def applied(self) -> str:
        """What receipts and evidence know the treatment by; "" where objects leave as they are."""

    def ready(self, instances: Sequence[Instance]) -> Iterator[Ready]:
        """Make objects ready, in their order, as they are asked for."""

    def note(self) -> Sequence[NewEvent]:
        """Write down what was done since the last time; returns what is to be told."""


def treatment(job: Job, workshop: Workshop) -> Treatment:
    """Choose the treatment that a job asks for."""
    if job.spec.kind is Kind.REIDENTIFY:
        return _Reidentifying(job, workshop, workshop.profile(job.spec.profile))
    if job.spec.profile:
        return _Deidentifying(job, workshop, workshop.profile(job.spec.profile))
    return _AsItIs(job, workshop)


def policy_of(settings: Settings, rule_name: str) -> str:
    """Say how a rule wants objects validated; a rule that is gone has no say."""
    rules = (rule for rule in settings.rules if rule.name == rule_name)
    return next((rule.validation for rule in rules), "record")


def findings_of(view: memoryview, policy: str) -> tuple[Finding, ...]:
    """Validate an object, if its rule wants that. Raises Invalid where it is to be held."""
    if policy == "off":
        return ()
    try:
        found = validate(view)
    except Fault as fault:
        if policy == "hold":
            raise Invalid(f"validation: {fault}") from fault
        raise DeidFault(str(fault)) from fault
    errors = [each for each in found if each.severity == "error"]
    if errors and policy == "hold":
        counts = ", ".join(f"{rule} {count}" for rule, count in summary(tuple(errors)).items())
        raise Invalid(f"validation: {counts}; first: {errors[0].path} {errors[0].words}")
    return found


@dataclass(slots=True)
class _AsItIs:
    """Objects leave with the identity that they came with."""

    job: Job
    workshop: Workshop
    applied: str = ""

    def ready(self, instances: Sequence[Instance]) -> Iterator[Ready]:
        holds = policy_of(self.workshop.settings, self.job.spec.rule) == "hold"
        for instance in instances:
            view = _view(self.workshop, instance)
            try:
                findings_of(view, "hold" if holds else "off")
            except DeidFault as fault:
                yield instance, fault
                continue
            series = self.job.spec.series
            yield (
                instance,
                Outgoing(
                    instance.arrival.sop_class_uid,
                    instance.arrival.sop_instance_uid,
                    series.series_instance_uid,
                    series.study_instance_uid,
                    instance.arrival.transfer_syntax_uid,
                    (view,),
                    instance.digest,
                ),
            )

    def note(self) -> Sequence[NewEvent]:
        return ()


@dataclass(slots=True)
class _Deidentifying:
    """Objects leave under a profile; what was done to each is noted, also where it may not."""

    job: Job
    workshop: Workshop
    profile: Profile
    _entries: list[Entry] = field(default_factory=list)
    _described: bool = False

    @property
    def applied(self) -> str:
        return self.profile.digest

    def ready(self, instances: Sequence[Instance]) -> Iterator[Ready]:
        settings = self.workshop.settings.profiles[self.profile.name]
        if not settings.reversible:
            for instance in instances:
                yield instance, self._outgoing(instance, self._clean(instance))
            return
        for start in range(0, len(instances), TOGETHER):
            some = instances[start : start + TOGETHER]
            done = [(instance, self._clean(instance)) for instance in some]
            kept = [
                (clean, _view(self.workshop, instance))
                for instance, clean in done
                if isinstance(clean, Deidentified)
            ]
            self.workshop.vault().keep_all(settings.project, kept)
            for instance, clean in done:
                yield instance, self._outgoing(instance, clean)

    def note(self) -> Sequence[NewEvent]:
        entries, self._entries = self._entries, []
        if not entries:
            return ()
        evidence = self.workshop.ledger.evidence
        if not self._described:
            settings = self.workshop.settings.profiles[self.profile.name]
            evidence.describe(self.profile.digest, describe(self.profile, settings))
            self._described = True
        evidence.add(entries)
        refused = Counter(entry.code for entry in entries if entry.clean is None)
        return [self._quarantined(entries, refused)] if refused else []

    def _quarantined(self, entries: Sequence[Entry], refused: Counter[str]) -> NewEvent:
        first = next(entry for entry in entries if entry.clean is None)
        facts = {
            "study": self.job.spec.series.study_instance_uid,
            "rule": self.job.spec.rule,
            "profile": self.profile.name,
            "instances": refused.total(),
            "faults": dict(refused),
            "first": first.source.sop_instance_uid,
            "words": first.reason,
            "alarm": any(entry.reason.startswith("self-check") for entry in entries),
        }
        series = self.job.spec.series.series_instance_uid
        return NewEvent("penumbra.series.quarantined", series, facts)

    def _clean(self, instance: Instance) -> Deidentified | DeidFault:
        """De-identify an object, and remember what was done."""
        found: tuple[Finding, ...] = ()
        try:
            view = _view(self.workshop, instance)
            found = findings_of(view, policy_of(self.workshop.settings, self.job.spec.rule))
            clean = deidentify(view, self.profile)
        except DeidFault as fault:
            self._remember(instance, None, Account(findings=_words(found)), fault)
            return fault
        account = Account(clean.account, clean.options, _words(found))
        self._remember(instance, clean, account)
        return clean

    def _remember(
        self,
        instance: Instance,
        clean: Deidentified | None,
        account: Account,
        fault: DeidFault | None = None,
    ) -> None:
        uid = instance.arrival.sop_instance_uid
        self._entries.append(
            Entry(
                source=Source(self.job.spec.series, uid, instance.digest),
                profile=self.profile.digest,
                rule=self.job.spec.rule,
                job=self.job.id,
                software=_VERSION,
                at=time.time(),
                clean=_named(clean) if clean else None,
                account=account,
                code=fault.code if fault else "",
                reason=str(fault) if fault else "",
            )
        )

    def _outgoing(
        self, instance: Instance, clean: Deidentified | DeidFault
    ) -> Outgoing | DeidFault:
        return clean if isinstance(clean, DeidFault) else _outgoing(instance, clean)


@dataclass(slots=True)
class _Reidentifying:
    """Results on objects that left under a profile get the patient's identity back."""

    job: Job
    workshop: Workshop
    profile: Profile

    @property
    def applied(self) -> str:
        return f"back:{self.profile.digest}"

    def ready(self, instances: Sequence[Instance]) -> Iterator[Ready]:
        project = self.workshop.settings.profiles[self.profile.name].project
        asker = this_job(self.job.id, self.job.spec.rule)
        for instance in instances:
            view = _view(self.workshop, instance)
            try:
                back = self.workshop.vault().reidentify(project, view, asker)
            except DeidFault as fault:
                yield instance, fault
                continue
            yield instance, _outgoing(instance, back)

    def note(self) -> Sequence[NewEvent]:
        return ()


def _view(workshop: Workshop, instance: Instance) -> memoryview:
    workshop.reader.verify(instance)
    return workshop.reader.view(instance.location)


def _outgoing(instance: Instance, made: Deidentified | Reidentified) -> Outgoing:
    return Outgoing(
        made.sop_class_uid,
        made.sop_instance_uid,
        made.series_instance_uid,
        made.study_instance_uid,
        made.transfer_syntax_uid,
        made.chunks,
        instance.digest,
    )


def _named(clean: Deidentified) -> Clean:
    return Clean(
        clean.study_instance_uid,
        clean.series_instance_uid,
        clean.sop_instance_uid,
        clean.patient_pseudonym,
    )


def _words(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(f"{each.severity}: {each.rule}: {each.path} {each.words}" for each in findings)
