"""Gather what the ledger knows of a study's de-identification into facts for a report."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from deid.evidence import facts
from dicom.errors import DoesNotMatch
from storage.destinations.base import Receipt
from storage.evidence.entry import Clean, Delivered, Recorded
from storage.ledger.ledger import Ledger

_Key = tuple[str, str]


def gather(ledger: Ledger, study_instance_uid: str) -> list[facts.Study]:
    """Give the facts of a Study, named by its original UID or by a new one.

    One for each profile and new UID: two projects must not learn each other's pseudonyms from
    one report. Raises DoesNotMatch where nothing of the Study was ever de-identified.
    """
    recorded = ledger.evidence.of_study(study_instance_uid)
    if not recorded:
        raise DoesNotMatch(
            f"no object of study {study_instance_uid} was de-identified here: name it by its "
            "original UID or its new one"
        )
    groups: dict[_Key, list[Recorded]] = defaultdict(list)
    for each in recorded:
        groups[each.entry.source.series.study_instance_uid, each.entry.profile].append(each)
    return [
        _study(ledger, members, new)
        for members in groups.values()
        for new in sorted(_new_studies(members)) or [""]
    ]


def _new_studies(members: Iterable[Recorded]) -> set[str]:
    return {each.entry.clean.study_instance_uid for each in members if each.entry.clean}


def _study(ledger: Ledger, members: Sequence[Recorded], new: str) -> facts.Study:
    """Put together one report's facts: what became `new`, and what was quarantined."""
    here = [
        each
        for each in members
        if each.entry.clean is None or each.entry.clean.study_instance_uid == new
    ]
    delivered: dict[_Key, list[Delivered]] = defaultdict(list)
    for one in ledger.evidence.deliveries(here):
        delivered[one.source_uid, one.sop_instance_uid].append(one)
    newest, overruled = _newest(here)
    accounts = ledger.evidence.accounts(each.account for each in here)
    first = here[0].entry
    return facts.Study(
        study_instance_uid=new,
        original_study_instance_uid=first.source.series.study_instance_uid,
        profile=first.profile,
        description=ledger.evidence.description(first.profile) or {},
        accounts={
            name: facts.Account(one.actions, one.options, one.findings)
            for name, one in accounts.items()
        },
        objects=tuple(_treated(each, delivered) for each in newest),
        overruled=tuple(_treated(each, delivered) for each in overruled),
    )


def _newest(recorded: Iterable[Recorded]) -> tuple[list[Recorded], list[Recorded]]:
    """Tell the newest word about each object from earlier ones; both in the order of the ledger."""
    newest: dict[_Key, Recorded] = {}
    overruled: list[Recorded] = []
    for each in sorted(recorded, key=lambda one: (one.last_at, one.number)):
        key = each.entry.source.sop_instance_uid, each.entry.source.digest
        if key in newest:
            overruled.append(newest[key])
        newest[key] = each
    in_order = sorted(newest.values(), key=lambda one: one.number)
    return in_order, sorted(overruled, key=lambda one: one.number)


def _treated(recorded: Recorded, delivered: dict[_Key, list[Delivered]]) -> facts.Treated:
    entry = recorded.entry
    source, clean = entry.source, entry.clean or Clean("", "", "", "")
    receipts = delivered.get((source.sop_instance_uid, clean.sop_instance_uid), [])
    return facts.Treated(
        number=recorded.number,
        original={
            "study_instance_uid": source.series.study_instance_uid,
            "series_instance_uid": source.series.series_instance_uid,
            "sop_instance_uid": source.sop_instance_uid,
            "sha256": source.digest,
        },
        account=recorded.account,
        rule=entry.rule,
        job=entry.job,
        software=entry.software,
        at=entry.at,
        code=entry.code,
        reason=entry.reason,
        series_instance_uid=clean.series_instance_uid,
        sop_instance_uid=clean.sop_instance_uid,
        patient_pseudonym=clean.patient_pseudonym,
        deliveries=tuple(delivery(each) for each in receipts),
    )


def delivery(one: Delivered | Receipt) -> facts.Delivery:
    """Say where an object is, and how that was proven."""
    return facts.Delivery(
        one.destination,
        one.location,
        one.digest_sent,
        one.digest_read_back,
        one.proof,
        one.delivered_at,
    )
