"""From a Series to results: check and order it, ask a model, read its answer, build the objects."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import structlog
from pydicom.dataset import Dataset

from ai import assignment, augment, declared, findings, header, joined, prepare, refused
from ai.augment import Averaged
from ai.contract import Contract, Served
from ai.header import Part10, Source
from ai.outcome import Broken, Outcome, Refused, Shadow
from ai.pictures import Pictures
from ai.pool import Answer, Servers, shadow_of
from ai.prepared import Prepared
from ai.report.build import build
from ai.report.subject import Subject
from ai.result import Result, ResultKind
from ai.sampled import Sampled
from config.models import Model
from dicom.errors import BadAnswer, InferenceFault, ModelUnavailable, Unsuitable
from dicom.part10 import text
from dicom.uid import told

__all__ = ["Outcome", "Part10", "Pool", "Result", "infer"]

_log = structlog.get_logger()


@dataclass(slots=True)
class _Run:
    """One Series on its way through one model."""

    settings: Model
    series: Sequence[Part10]
    servers: Servers
    urgent: bool
    trace: str
    version: str = ""
    contract: Contract | None = None
    prepared: Sampled | None = None
    read_s: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    _stated: tuple[Served, Contract] | None = None

    def contract_of(self, served: Served) -> Contract:
        """Read the contract of what is served, once for as long as that stays the same.

        Raises BadAnswer.
        """
        if self._stated is None or self._stated[0] != served:
            self._stated = served, declared.read(served, self.settings)
        return self._stated[1]

    def prepare(self, served: Served) -> Prepared:
        """Make the Series ready for what is served; the same again where the contract is."""
        began = time.perf_counter()
        contract = self.contract_of(served)
        before = self.contract
        if self.prepared is None or before is None or not _asks_alike(before, contract):
            self.prepared = Sampled(prepare.prepare(contract, self.series))
        self.contract = contract
        self.read_s += time.perf_counter() - began
        return self.prepared

    async def ask(self) -> Averaged:
        """Ask, once more for each mirror image that the contract wants, and read the answers.

        Raises an InferenceFault.
        """
        found = [await self._ask(self.prepare)]
        assert self.contract is not None
        assert self.prepared is not None
        contract, prepared = self.contract, self.prepared
        for axis in augment.axes(contract.trust):
            mirrored = prepared.flipped(axis)
            found.append(await self._ask(lambda _, mirrored=mirrored: mirrored))  # type: ignore[misc]  # (bound in the loop)
            if self.answers[-1].served != self.answers[0].served:
                raise ModelUnavailable(f"model {self.settings.model} changed its version")
        return augment.average(contract, found)

    async def _ask(self, make: joined.Prepare) -> tuple[findings.Finding, ...]:
        answer = await self.servers.infer(
            self.settings, make, urgent=self.urgent, version=self.version, trace=self.trace
        )
        self.answers.append(answer)
        contract = self.contract_of(answer.served)
        prepared = make(answer.served)
        return findings.read(contract, joined.arrays(contract, answer), prepared.grid)

    async def shadow(self) -> Shadow | None:
        """Ask the shadow, where there is one and the live version was asked."""
        if self.settings.shadow is None or not self.answers:
            return None
        beside = _Run(shadow_of(self.settings), self.series, self.servers, self.urgent, self.trace)
        beside.contract, beside.prepared = self.contract, self.prepared
        answer = await self.servers.shadow(self.settings, beside.prepare)
        if answer is None or beside.prepared is None:
            return None
        shadow = Shadow(answer.served, (), answer.endpoint, answer.seconds)
        try:
            contract = beside.contract_of(answer.served)
            said = findings.read(contract, joined.arrays(contract, answer), beside.prepared.grid)
        except InferenceFault as fault:
            return replace(shadow, words=str(fault))
        return replace(shadow, findings=said)


async def infer(
    name: str,
    settings: Model,
    series: Sequence[Part10],
    servers: Servers,
    *,
    now: datetime,
    urgent: bool = False,
    trace: str = "",
) -> Outcome:
    """Run one model on one Series and make what is to be reported of it.

    `series` holds the Series' objects, whole, in any order; they are read, never kept. `name` is
    the model's name in the config, for the log. `now` is the time at which the Series was
    whole: it becomes the results' content time, so that a second run makes the same bytes.
    A Series that is not what the model wants, or that the model refuses, is an Outcome with a
    refusal, unless the settings say to hold it. `urgent` and `trace` are as the pool has them.
    Raises Refused for such a Series then, and Unsuitable for one of which nothing can be reported;
    BadAnswer when the model breaks its contract, Broken where it was asked; ModelUnavailable when
    no endpoint answers.
    """
    run = _Run(settings, series, servers, urgent, trace)
    return await _infer(name, run, now)


async def _infer(name: str, run: _Run, now: datetime) -> Outcome:
    settings = run.settings
    first = _first(run.series)
    patient = "\\".join(text(first, key) for key in ("PatientID", "IssuerOfPatientID"))
    run.version = assignment.version_of(settings, patient)
    served = await run.servers.describe(settings, run.version)
    contract = run.contract_of(served)
    if text(first, "Modality") != contract.wants.modality:
        words = f"the Series is not of Modality {contract.wants.modality}"
        return _told(name, Outcome((), (), served, contract, "", None, refusal=words))
    refusal, broken, found = "", "", Averaged((), {})
    try:
        found = await run.ask()
    except Unsuitable as fault:
        refusal = str(fault)
    except BadAnswer as fault:
        broken = str(fault)
    answer = run.answers[0] if run.answers else None
    source = _source(run, is_reported=bool(refusal) and settings.refused == "report")
    outcome = Outcome(
        results=(),
        findings=found.findings,
        served=answer.served if answer else served,
        contract=run.contract or contract,
        endpoint=answer.endpoint if answer else "",
        source=source,
        refusal=refusal,
        input_digest=run.prepared.pixel_digest if run.prepared and answer else "",
        images=len(run.series),
        is_cached=answer is not None and answer.is_cached,
        answers=len(run.answers),
        spread=found.spread,
        features=run.prepared.features() if run.prepared else {},
        seconds={"read": run.read_s, "model": _model_s(run), "report": 0.0},
    )
    if broken:
        raise Broken(broken, _told(name, outcome, run.answers, fault=broken))
    if refusal and settings.refused == "hold":
        raise Refused(_told(name, outcome, run.answers))
    if source is not None and (not refusal or settings.refused == "report"):
        outcome = _built(outcome, source, run, now)
    return _told(name, outcome, run.answers)


def _source(run: _Run, *, is_reported: bool) -> Source | None:
    """Say what was asked about; None where the objects do not agree and nothing is reported."""
    if run.prepared:
        return run.prepared.source
    try:
        return refused.source_of(run.series)
    except Unsuitable:
        if is_reported:
            raise
        return None


def _built(outcome: Outcome, source: Source, run: _Run, now: datetime) -> Outcome:
    began = time.perf_counter()
    subject = Subject(source, outcome.contract, outcome.served, outcome.findings, outcome.refusal)
    kinds = [ResultKind(kind) for kind in run.settings.results]
    results = build(subject, kinds, now=now, images=Pictures(source, run.series))
    seconds = {**outcome.seconds, "report": time.perf_counter() - began}
    return replace(outcome, results=results, seconds=seconds)


def _first(series: Sequence[Part10]) -> Dataset:
    if not series:
        raise Unsuitable("the Series has no objects")
    return header.head(0, series[0])


def _asks_alike(one: Contract, other: Contract) -> bool:
    return (one.wants, one.inputs) == (other.wants, other.inputs)


def _model_s(run: _Run) -> float:
    """Give the seconds of all calls, without those that preparing took between them."""
    return max(0.0, sum(answer.seconds for answer in run.answers) - run.read_s)


def _told(name: str, outcome: Outcome, asked: Sequence[Answer] = (), *, fault: str = "") -> Outcome:
    source = outcome.source
    _log.info(
        "inference",
        model=name,
        version=outcome.served.version,
        endpoint=outcome.endpoint,
        series=told(source.series_instance_uid) if source else "",
        slices=outcome.images,
        answers=outcome.answers,
        cached=outcome.is_cached,
        calls=sum(answer.tries for answer in asked),
        waited_s=round(sum(answer.waited_s for answer in asked), 3),
        shared_memory=any(answer.by_shared_memory for answer in asked),
        refusal=outcome.refusal,
        fault=fault,
        **{f"{step}_s": round(seconds, 3) for step, seconds in outcome.seconds.items()},
        result=outcome.results[0].sop_instance_uid if outcome.results else "",
    )
    return outcome


class Pool:
    """Inference for a worker: keeps connections and their event loop for the process's life.

    Not shared between threads; nothing connects before the first job.
    """

    def __init__(self, cache_folder: Path | None = None) -> None:
        """Keep answers in a folder where a model says `cache_mb`; in memory without one."""
        self._runner: asyncio.Runner | None = None
        self._servers = Servers(cache_folder)
        self._last: _Run | None = None

    def infer(
        self,
        name: str,
        settings: Model,
        series: Sequence[Part10],
        *,
        now: datetime,
        urgent: bool = False,
        trace: str = "",
    ) -> Outcome:
        """Do what the function `infer` does, and wait for it. Raises what it raises."""
        self._last = None
        run = _Run(settings, series, self._servers, urgent, trace)
        outcome = self._loop().run(_infer(name, run, now))
        # The Series is let go of unless somebody else is to be asked about it.
        self._last = run if settings.shadow is not None else None
        return outcome

    def shadow(self) -> tuple[Shadow, ...]:
        """Ask the shadow about the Series that was inferred last; empty where there is none.

        To be called once the live results are kept. Raises nothing for a shadow that fails.
        """
        run, self._last = self._last, None
        said = self._loop().run(run.shadow()) if run is not None else None
        return () if said is None else (said,)

    def forget(self) -> None:
        """Let go of the Series that was inferred last, whose shadow nobody asks any more."""
        self._last = None

    def check(self, settings: Model) -> None:
        """Ask whether a model is there. Raises ModelUnavailable, BadAnswer."""
        self._loop().run(self._servers.describe(settings))

    def close(self) -> None:
        """Close connections and event loop. May be called twice."""
        self.forget()
        runner, self._runner = self._runner, None
        if runner is not None:
            with runner:
                runner.run(self._servers.close())

    def _loop(self) -> asyncio.Runner:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner
