"""What happens to an object's identity before it leaves: nothing, its removal, or its return.

A treatment makes objects ready, keeps the way back where the profile is reversible, and notes
what it did as evidence, both before an object leaves: a worker may be killed at any moment, and
what left must have its account. It sends nothing.
"""

import importlib.metadata
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from config.model import Settings
from deid.apply import Deidentified, deidentify
from deid.evidence.description import describe
from deid.profile import Profile
from deid.vault.reidentify import Reidentified
from dicom.entity import Instance
from dicom.errors import DeidFault, Fault, Invalid, Misfit
from dicom.validation import Finding, summary, validate
from node.vault import this_job
from node.workers.gating import require_theirs
from node.workers.workshop import Workshop
from routing.job import Job, Kind
from storage.destinations.base import Outgoing
from storage.evidence.entry import Account, Clean, Entry, Source
from storage.ledger.events import NewEvent

TOGETHER: Final = 32
"""So many objects are written down in one transaction before the first of them leaves, or fewer:"""
TOGETHER_BYTES: Final = 64 << 20
"""as many as take so much memory where the spool is encrypted (one alone may be larger),"""
TOGETHER_S: Final = 0.5
"""and as many as are ready by then, so that objects that take long do not wait for each other."""
CHECKED_AHEAD: Final = 2
"""So many objects are read and hashed before it is their turn."""
_VERSION: Final = importlib.metadata.version("penumbra-node")

Ready = tuple[Instance, Outgoing | DeidFault | Misfit]
"""An object that may leave, or why it may not."""


class Treatment(Protocol):
    """One job's way of making objects ready."""

    @property
    def applied(self) -> str:
        """What receipts and evidence know the treatment by; "" where objects leave as they are."""

    def ready(self, instances: Sequence[Instance]) -> Iterator[Ready]:
        """Make objects ready, in their order, as they are asked for."""

    def note(self) -> Sequence[NewEvent]:
        """Give what is to be told of what was done since the last time."""


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
        for instance in _checked(self.workshop, instances):
            view = self.workshop.reader.view(instance.location)
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
                    known_digest=instance.digest,  # _checked compared it with the bytes
                ),
            )

    def note(self) -> Sequence[NewEvent]:
        return ()


@dataclass(frozen=True, slots=True)
class _Treated:
    """An object that was de-identified, or why it may not leave."""

    instance: Instance
    original: memoryview
    outcome: Deidentified | DeidFault
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class _Deidentifying:
    """Objects leave under a profile; what was done to each is noted, also where it may not."""

    job: Job
    workshop: Workshop
    profile: Profile
    _refused: list[Entry] = field(default_factory=list)
    _described: bool = False

    @property
    def applied(self) -> str:
        return self.profile.digest

    def ready(self, instances: Sequence[Instance]) -> Iterator[Ready]:
        reversible = self.workshop.settings.profiles[self.profile.name].reversible
        if reversible:
            self.workshop.vault()  # one that cannot be opened is told before any work is done
        for some in self._batches(instances):
            treated = self._kept(some) if reversible else some
            self._write_down(treated)
            for each in treated:
                if isinstance(each.outcome, DeidFault):
                    yield each.instance, each.outcome
                else:
                    yield each.instance, outgoing(each.outcome, each.instance.digest)

    def note(self) -> Sequence[NewEvent]:
        refused, self._refused = self._refused, []
        return [self._quarantined(refused)] if refused else []

    def _batches(self, instances: Sequence[Instance]) -> Iterator[list[_Treated]]:
        """De-identify some objects at a time; those before a fault of the disk still leave."""
        some: list[_Treated] = []
        size_bytes, begun = 0, time.monotonic()
        try:
            for instance in _checked(self.workshop, instances):
                is_over = size_bytes + instance.location.length > TOGETHER_BYTES
                if len(some) == TOGETHER or is_over or time.monotonic() - begun > TOGETHER_S:
                    yield some
                    some, size_bytes, begun = [], 0, time.monotonic()
                some.append(self._treated(instance))
                size_bytes += instance.location.length
        except Fault:
            yield some
            raise
        yield some

    def _treated(self, instance: Instance) -> _Treated:
        """De-identify one object. Raises a StorageFault of the spool."""
        found: tuple[Finding, ...] = ()
        original = self.workshop.reader.view(instance.location)
        try:
            found = findings_of(original, policy_of(self.workshop.settings, self.job.spec.rule))
            return _Treated(instance, original, deidentify(original, self.profile), found)
        except DeidFault as fault:
            return _Treated(instance, original, fault, found)

    def _kept(self, some: Sequence[_Treated]) -> list[_Treated]:
        """Keep the way back of clean objects; one that has none may not leave."""
        try:
            self._keep(some)
        except DeidFault:
            return [self._kept_alone(each) for each in some]
        return list(some)

    def _kept_alone(self, each: _Treated) -> _Treated:
        try:
            self._keep([each])
        except DeidFault as fault:
            return replace(each, outcome=fault)
        return each

    def _keep(self, some: Sequence[_Treated]) -> None:
        project = self.workshop.settings.profiles[self.profile.name].project
        clean = [
            (each.outcome, each.original) for each in some if isinstance(each.outcome, Deidentified)
        ]
        self.workshop.vault().keep_all(project, clean)

    def _write_down(self, treated: Sequence[_Treated]) -> None:
        entries = [self._entry(each) for each in treated]
        if not entries:
            return
        evidence = self.workshop.ledger.evidence
        if not self._described:
            settings = self.workshop.settings.profiles[self.profile.name]
            evidence.describe(self.profile.digest, describe(self.profile, settings))
            self._described = True
        evidence.add(entries)
        self._refused += (entry for entry in entries if entry.clean is None)

    def _quarantined(self, refused: Sequence[Entry]) -> NewEvent:
        facts = {
            "study": self.job.spec.series.study_instance_uid,
            "rule": self.job.spec.rule,
            "profile": self.profile.name,
            "instances": len(refused),
            "faults": dict(Counter(entry.code for entry in refused)),
            "first": refused[0].source.sop_instance_uid,
            "words": refused[0].reason,
            "alarm": any(entry.reason.startswith("self-check") for entry in refused),
        }
        series = self.job.spec.series.series_instance_uid
        return NewEvent("penumbra.series.quarantined", series, facts)

    def _entry(self, treated: _Treated) -> Entry:
        instance, made = treated.instance, treated.outcome
        clean = made if isinstance(made, Deidentified) else None
        fault = made if isinstance(made, DeidFault) else None
        actions, options = (clean.account, clean.options) if clean else ((), ())
        return Entry(
            source=Source(self.job.spec.series, instance.arrival.sop_instance_uid, instance.digest),
            profile=self.profile.digest,
            rule=self.job.spec.rule,
            job=self.job.id,
            software=_VERSION,
            at=time.time(),
            clean=named(clean) if clean else None,
            account=Account(actions, options, findings_in_words(treated.findings)),
            code=fault.code if fault else "",
            reason=str(fault) if fault else "",
        )


@dataclass(slots=True)
class _Reidentifying:
    """Results on objects that left under a profile get the patient's identity back.

    Then they pass the gate of all results: they fit the originals here, or do not leave.
    """

    job: Job
    workshop: Workshop
    profile: Profile

    @property
    def applied(self) -> str:
        return f"back:{self.profile.digest}"

    def ready(self, instances: Sequence[Instance]) -> Iterator[Ready]:
        project = self.workshop.settings.profiles[self.profile.name].project
        asker = this_job(self.job.id, self.job.spec.rule)
        holds = policy_of(self.workshop.settings, self.job.spec.rule) == "hold"
        for instance in _checked(self.workshop, instances):
            view = self.workshop.reader.view(instance.location)
            try:
                findings_of(view, "hold" if holds else "off")
                back = self.workshop.vault().reidentify(project, view, asker)
                require_theirs(self.workshop, back.study_instance_uid, back.chunks)
            except (DeidFault, Misfit) as fault:
                yield instance, fault
                continue
            yield instance, outgoing(back, instance.digest)

    def note(self) -> Sequence[NewEvent]:
        return ()


def _checked(workshop: Workshop, instances: Iterable[Instance]) -> Iterator[Instance]:
    """Give objects whose bytes are those that came; the next ones are being read meanwhile.

    Reading and hashing hold no lock of the interpreter, so a thread of their own costs no time
    here. Raises a StorageFault of the spool at the turn of the object that it is about, and
    Stopping.
    """
    with ThreadPoolExecutor(1, "checking") as ahead:
        under_way: deque[tuple[Instance, Future[None]]] = deque()

        def first() -> Instance:
            workshop.check_stop()
            instance, check = under_way.popleft()
            check.result()
            return instance

        for instance in instances:
            under_way.append((instance, ahead.submit(workshop.reader.verify, instance)))
            if len(under_way) > CHECKED_AHEAD:
                yield first()
        while under_way:
            yield first()


def outgoing(made: Deidentified | Reidentified, source_digest: str) -> Outgoing:
    """Give an object that was made of another to a destination."""
    return Outgoing(
        made.sop_class_uid,
        made.sop_instance_uid,
        made.series_instance_uid,
        made.study_instance_uid,
        made.transfer_syntax_uid,
        made.chunks,
        source_digest,
    )


def named(clean: Deidentified) -> Clean:
    """Give the new names of an object, for evidence."""
    return Clean(
        clean.study_instance_uid,
        clean.series_instance_uid,
        clean.sop_instance_uid,
        clean.patient_pseudonym,
    )


def findings_in_words(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Write what validation found as evidence keeps it."""
    return tuple(f"{each.severity}: {each.rule}: {each.path} {each.words}" for each in findings)
