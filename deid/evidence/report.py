"""Build the report of a study under one profile: plain data, ready to be signed and shown.

By default a report is fit to travel with the data: objects bear their new UIDs alone. One that
also holds the original UIDs undoes the pseudonyms for whoever reads it, and says so.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from deid.evidence import actions, names
from deid.evidence.facts import Account, Delivery, Study, Treated

FORMAT: Final = "penumbra-evidence/1"
OUTSIDE: Final = "may travel with the data: original UIDs are left out"
INSIDE: Final = "holds original UIDs: never hand it to who receives the data"
SELF_CHECK: Final = "self-check"
"""How the reason of an object begins that the last step kept back."""

Report = dict[str, object]


def build(
    study: Study, *, made_at: float, software: str, node: str, with_originals: bool = False
) -> Report:
    """Make the report of a study; the same facts give the same report.

    Holds no floats, so that every JSON writer gives the same bytes. Times are UTC.
    """
    clean = [each for each in study.objects if each.is_clean]
    kept_back = [each for each in study.objects if not each.is_clean]
    weights = Counter(each.account for each in clean)
    return {
        "format": FORMAT,
        "made": {"at": moment(made_at), "by": f"Penumbra {software}", "node": node},
        "audience": INSIDE if with_originals else OUTSIDE,
        "study": _study(study, clean, with_originals=with_originals),
        "profile": {**study.description, "digest": study.profile},
        "counts": _counts(study, clean, kept_back),
        "options_applied": _weighed(study.accounts, weights, "options"),
        "actions": _actions(study.accounts, weights),
        "remarks": _remarks(study.accounts, weights),
        "self_check": _self_check(clean, kept_back),
        "validation": _weighed(
            study.accounts, Counter(each.account for each in study.objects), "findings"
        ),
        "quarantined": [_treated(each, with_originals=with_originals) for each in kept_back],
        "objects": [_treated(each, with_originals=with_originals) for each in clean],
        "overruled": [_treated(each, with_originals=with_originals) for each in study.overruled],
        "accounts": {name: study.accounts[name].actions for name in sorted(weights)},
    }


def moment(seconds: float) -> str:
    """Write a time as ISO 8601 in UTC, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _study(study: Study, clean: Iterable[Treated], *, with_originals: bool) -> Report:
    facts: Report = {
        "study_instance_uid": study.study_instance_uid,
        "patient_pseudonyms": sorted({each.patient_pseudonym for each in clean} - {""}),
    }
    if with_originals:
        facts["original_study_instance_uid"] = study.original_study_instance_uid
    return facts


def _counts(study: Study, clean: list[Treated], kept_back: list[Treated]) -> dict[str, int]:
    held = [each.original for each in kept_back]
    return {
        "objects": len(study.objects),
        "clean": len(clean),
        "quarantined": len(study.objects) - len(clean),
        "delivered": sum(1 for each in clean if each.deliveries),
        # Quarantined now, but clean by an earlier word, and sent on it.
        "delivered_before": sum(
            1 for each in study.overruled if each.deliveries and each.original in held
        ),
        "series": len({each.series_instance_uid for each in clean}),
    }


def _weighed(
    accounts: Mapping[str, Account], weights: Counter[str], facts: str
) -> list[dict[str, object]]:
    """Count in how many objects each option was applied, or each finding made."""
    counts = Counter[str]()
    for name, objects in weights.items():
        for words in set(getattr(accounts[name], facts)):
            counts[words] += objects
    return [{"words": words, "objects": counts[words]} for words in sorted(counts)]


def _actions(
    accounts: Mapping[str, Account], weights: Counter[str]
) -> dict[str, list[dict[str, object]]]:
    """List each element path once per action, in the groups of actions.GROUPS."""
    counts = Counter[tuple[str, str]]()
    for name, objects in weights.items():
        for path, action in set(accounts[name].actions):
            if not actions.is_remark(action):
                counts[path, action] += objects
    grouped: dict[str, list[dict[str, object]]] = {group: [] for group in actions.GROUPS}
    for path, action in sorted(counts):
        meaning = actions.meaning(action)
        row = {
            "path": path,
            "name": names.words(path),
            "action": action,
            "words": meaning.words,
            "objects": counts[path, action],
        }
        grouped[meaning.group].append(row)
    return {group: rows for group, rows in grouped.items() if rows}


def _remarks(accounts: Mapping[str, Account], weights: Counter[str]) -> list[dict[str, object]]:
    counts = Counter[tuple[str, str]]()
    for name, objects in weights.items():
        for path, action in set(accounts[name].actions):
            if actions.is_remark(action):
                counts[path, action.removeprefix("remark: ")] += objects
    return [
        {"path": path, "name": names.words(path), "words": words, "objects": counts[path, words]}
        for path, words in sorted(counts)
    ]


def _self_check(clean: list[Treated], kept_back: list[Treated]) -> dict[str, int]:
    """Count the outcomes: an object is clean only if the self-check found nothing."""
    caught = sum(1 for each in kept_back if each.reason.startswith(SELF_CHECK))
    return {"passed": len(clean), "failed": caught, "not_reached": len(kept_back) - caught}


def _treated(treated: Treated, *, with_originals: bool) -> dict[str, object]:
    facts: dict[str, object] = {
        "number": treated.number,
        "rule": treated.rule,
        "job": treated.job,
        "software": treated.software,
        "at": moment(treated.at),
    }
    if treated.is_clean:
        facts["series_instance_uid"] = treated.series_instance_uid
        facts["sop_instance_uid"] = treated.sop_instance_uid
        facts["account"] = treated.account
        facts["deliveries"] = [_delivery(each) for each in treated.deliveries]
    else:
        facts["code"] = treated.code
        facts["reason"] = treated.reason
    if with_originals:
        facts["original"] = dict(treated.original)
    return facts


def _delivery(delivery: Delivery) -> dict[str, str]:
    return {
        "destination": delivery.destination,
        "location": delivery.location,
        "sha256_sent": delivery.sha256_sent,
        "sha256_read_back": delivery.sha256_read_back,
        "proof": delivery.proof,
        "at": moment(delivery.at),
    }
