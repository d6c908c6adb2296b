"""Keep an account of each inference, and tell when what a model is given or says has moved."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset

from ai.drift import ALARM
from ai.finding import Finding
from ai.numbers import features, is_anything, outputs
from ai.outcome import Outcome, Shadow
from dicom.errors import Fault, Misfit
from dicom.part10 import text
from node.models import Group, watch
from routing.job import Job
from storage.ledger.events import NewEvent
from storage.ledger.inferences import (
    FAILED,
    FOUND,
    HELD,
    LIVE,
    NOTHING,
    REFUSED,
    SHADOW,
    Inference,
)  # fmt: skip
from storage.ledger.ledger import Ledger

LOOK_EVERY: Final = 25
"""So many inferences of a group pass, on average, between two looks for drift."""
_SCANNER: Final = ("Manufacturer", "ManufacturerModelName", "StationName")


def record(
    job: Job,
    ledger: Ledger,
    outcome: Outcome,
    *,
    digests: Mapping[str, str],
    began_at: float,
    fault: Fault | None = None,
) -> list[NewEvent]:
    """Write an inference and its shadows down; returns what is to be told of drift.

    `digests` are those registered, by version; `began_at` is in seconds since the epoch. `fault`
    is why nothing is made of it: a Misfit where its results were held. Raises StorageFault.
    """
    live = _live(job, outcome, began_at, fault)
    live = replace(live, digest=digests.get(live.version) or live.digest)
    shadows = [_shadow(live, one, digests) for one in outcome.shadows]
    number = ledger.inferences.add(live, shadows)
    # By the id's checksum, or groups whose ids follow a pattern might never be looked at.
    if live.outcome not in {FOUND, NOTHING} or zlib.crc32(str(number).encode()) % LOOK_EVERY:
        return []
    group = Group(live.model, live.version, live.scanner, live.protocol)
    watched = watch(ledger, group)
    moved = [one for one in watched.drifts if one.psi > ALARM]
    if not moved:
        return []
    told = {
        "version": live.version,
        # People type into the names of protocols and stations: they stay in the record.
        "group": hashlib.sha256(f"{live.scanner}|{live.protocol}".encode()).hexdigest()[:12],
        "number": moved[0].name,
        "psi": round(moved[0].psi, 3),
        "then": moved[0].then,
        "now": moved[0].now,
        "moved": len(moved),
        "inferences": watched.newer,
    }
    return [NewEvent("penumbra.model.drifted", live.model, told)]


def _live(job: Job, outcome: Outcome, began_at: float, fault: Fault | None) -> Inference:
    head = outcome.source.head if outcome.source is not None else Dataset()
    found = outcome.findings
    said, words = _said(found), str(fault or outcome.refusal)
    if outcome.refusal:
        said = REFUSED
    elif fault is not None:
        said = HELD if isinstance(fault, Misfit) else FAILED
    results: dict[str, list[str]] = {}
    for one in () if fault else outcome.results:
        results.setdefault(str(one.kind), []).append(one.sop_instance_uid)
    return Inference(
        job=job.id,
        model=job.spec.target,
        served_model=outcome.served.model,
        version=outcome.served.version,
        digest=outcome.model_digest,
        stage=LIVE,
        server=outcome.served.server,
        endpoint=outcome.endpoint,
        study_instance_uid=job.spec.series.study_instance_uid,
        series_instance_uid=job.spec.series.series_instance_uid,
        revision=job.spec.revision,
        rule=job.spec.rule,
        outcome=said,
        words=words,
        images=outcome.images,
        is_cached=outcome.is_cached,
        input_digest=outcome.input_digest,
        scanner=" ".join(filter(None, (text(head, keyword) for keyword in _SCANNER))),
        protocol=text(head, "ProtocolName"),
        began_at=began_at,
        read_s=outcome.seconds.get("read", 0.0),
        model_s=outcome.seconds.get("model", 0.0),
        report_s=outcome.seconds.get("report", 0.0),
        outputs=outputs(found),
        features=_features(outcome.features, found),
        results=results,
    )


def _shadow(live: Inference, one: Shadow, digests: Mapping[str, str]) -> Inference:
    return replace(
        live,
        served_model=one.served.model,
        version=one.served.version,
        digest=digests.get(one.served.version, ""),
        stage=SHADOW,
        server=one.served.server,
        endpoint=one.endpoint,
        outcome=FAILED if one.words else _said(one.findings),
        words=one.words,
        is_cached=False,
        model_s=one.seconds,
        report_s=0.0,
        outputs=outputs(one.findings),
        features=_features(live.features, one.findings),
        results={},
    )


def _said(found: Sequence[Finding]) -> str:
    return FOUND if is_anything(found) else NOTHING


def _features(given: Mapping[str, float], found: Sequence[Finding]) -> dict[str, float]:
    inputs = {name: value for name, value in given.items() if name.startswith("input.")}
    return {**inputs, **features(found)}
