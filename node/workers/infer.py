"""Ask a model about a Series, and put its results back in through the spool."""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from ai.outcome import Broken, Outcome, Refused
from ai.result import Result
from config.destinations import results_taken
from config.models import Model
from config.serving import Shadow
from dicom.entity import Arrival, Instance, Origin, SeriesKey
from dicom.errors import ConfigFault, Misfit
from dicom.part10 import file_meta
from node.workers.gating import require_own
from node.workers.recording import record
from node.workers.workshop import Done, Workshop
from routing.job import Job, NewJob
from routing.plan import Settled, plan, timed, with_staging
from routing.rules import compile_rules
from storage.ledger.events import NewEvent
from storage.ledger.models import Asked
from storage.spool.deposit import deposit


def infer(job: Job, workshop: Workshop) -> Done:
    """Run one model on one Series; each result becomes an Instance like any other.

    Results are built from the objects as they were received, identity included, because they go
    back to the PACS that knows the patient; they pass the gate together before the first of them
    is kept. Raises an InferenceFault, Misfit where a result does not fit the originals, Released
    when the spool has let go of part of the Series, or Corrupt when its bytes fail their digest.
    """
    try:
        return _inferred(job, workshop)
    finally:
        workshop.pool.forget()  # results that may not be kept have no shadow


def _inferred(job: Job, workshop: Workshop) -> Done:
    name = job.spec.target
    if name not in workshop.settings.models:
        raise ConfigFault([(f"models.{name}", "is owed to but not in the config")])
    workshop.ledger.holdings.require_all(job.spec.series)
    received = workshop.ledger.receipts.of_series(job.spec.series)
    decided = workshop.ledger.registry.asked(name)
    began_at = time.time()
    kept = partial(record, job, workshop.ledger, digests=decided.digests, began_at=began_at)
    try:
        outcome = workshop.pool.infer(
            name,
            _settings(workshop, name, decided),
            _views(workshop, received),
            # When the last image came, not the clock nor the job's time: whoever asks again, by a
            # second run, another rule or a ledger made anew, makes the same bytes.
            now=datetime.fromtimestamp(
                max((one.arrival.received_at for one in received), default=job.created_at), UTC
            ),
            urgent=job.spec.priority > 0,
            trace=f"{job.id:032x}",
        )
    except (Broken, Refused) as fault:
        kept(fault.outcome, fault=fault)
        raise
    if not outcome.results:
        return Done(f"nothing to report: {outcome.refusal}", kept(outcome))
    try:
        new = require_own(workshop, outcome.results, outcome.contract)
    except Misfit as fault:
        kept(outcome, fault=fault)
        raise
    for result in new:
        _keep(job, workshop, result)
    outcome = replace(outcome, shadows=workshop.pool.shadow())
    drifted = kept(outcome)
    filed = [result for result in outcome.results if result not in new]
    told = [_made(job, outcome), *drifted]
    return Done(_words(outcome), told, follow_up=_owed_too(job, workshop, filed))


def _settings(workshop: Workshop, name: str, decided: Asked) -> Model:
    """Give a model's settings with the versions that people decided for, where they did."""
    settings = workshop.settings.models[name]
    update: dict[str, object] = {}
    if decided.live and not settings.version:
        update["version"] = decided.live
    if decided.shadow and settings.shadow is None:
        update["shadow"] = Shadow(version=decided.shadow)
    return settings.model_copy(update=update) if update else settings


def _views(workshop: Workshop, received: list[Instance]) -> list[memoryview]:
    views = []
    for instance in received:
        workshop.check_stop()
        workshop.reader.verify(instance)
        views.append(workshop.reader.view(instance.location))
    return views


def _keep(job: Job, workshop: Workshop, result: Result) -> None:
    """Deposit one result; a run that is killed before the next one is done again as a whole."""
    arrival = Arrival(
        sop_class_uid=result.sop_class_uid,
        sop_instance_uid=result.sop_instance_uid,
        transfer_syntax_uid=result.transfer_syntax_uid,
        calling_ae=workshop.settings.node.ae_title,
        called_ae=workshop.settings.node.ae_title,
        association=f"job-{job.id}",
        address="",
        received_at=time.time(),
        origin=Origin.AI,
        rule=job.spec.rule,
    )
    deposit(
        workshop.reader.root,
        arrival,
        (file_meta(arrival), result.dataset),
        writer=f"job{job.id}-{os.getpid()}",
        key=workshop.reader.keys.current,
    )


def _owed_too(job: Job, workshop: Workshop, filed: Sequence[Result]) -> tuple[NewJob, ...]:
    """Owe what stands here already, perhaps for another rule, to this rule's destinations.

    What was kept now is planned when its Series settles.
    """
    if not filed:
        return ()
    taken = results_taken(workshop.settings.destinations)
    rules = [one for one in compile_rules(workshop.settings.rules) if one.name == job.spec.rule]
    owed: dict[str, NewJob] = {}
    for result in filed:
        key = SeriesKey(result.study_instance_uid, result.series_instance_uid)
        about = Settled(key, 1, Origin.AI, job.spec.rule, lambda _: (), result.sop_class_uid)
        owed |= {each.dedup_key: each for each in plan(about, rules, taken=taken).jobs}
    staging = workshop.settings.staging
    jobs = timed([*owed.values()], rules, time.time())
    return tuple(with_staging(jobs, staging.destination if staging else ""))


def _words(outcome: Outcome) -> str:
    if outcome.refusal:
        return f"refused, and reported so: {outcome.refusal}"
    kinds = ", ".join(result.kind for result in outcome.results)
    return f"{len(outcome.findings)} findings: {kinds}"


def _made(job: Job, outcome: Outcome) -> NewEvent:
    facts = {
        "study": job.spec.series.study_instance_uid,
        "model": job.spec.target,
        "version": outcome.served.version,
        "rule": job.spec.rule,
        "result": outcome.results[0].sop_instance_uid,
        "kinds": [str(result.kind) for result in outcome.results],
        "refused": bool(outcome.refusal),
        "words": outcome.refusal,
        "instances": outcome.images,
    }
    return NewEvent("penumbra.result.made", job.spec.series.series_instance_uid, facts)
