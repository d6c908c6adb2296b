"""Turn what became of files into facts for reports: one for each new study, one for the rest."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from deid.evidence import facts
from node.deid_files import Outcome
from node.evidence import delivery
from storage.evidence import packing
from storage.evidence.entry import Clean

_NOBODY = Clean("", "", "", "")


def gather_files(
    outcomes: Sequence[Outcome], profile: str, description: Mapping[str, object], software: str
) -> list[facts.Study]:
    """Give the facts of each new study, and of all quarantined files as one without a study.

    `profile` is the profile's digest and `description` what it stands for. Objects bear the number
    of their file in the run; files' own names, which may hold a patient's, stay out.
    """
    studies: dict[str, list[tuple[int, Outcome]]] = defaultdict(list)
    for number, outcome in enumerate(outcomes, 1):
        studies[(outcome.clean or _NOBODY).study_instance_uid].append((number, outcome))
    return [
        facts.Study(
            study_instance_uid=study,
            original_study_instance_uid="",
            profile=profile,
            description=description,
            accounts=dict(_account(outcome) for _, outcome in members),
            objects=tuple(_treated(number, outcome, software) for number, outcome in members),
        )
        for study, members in sorted(studies.items())
    ]


def _account(outcome: Outcome) -> tuple[str, facts.Account]:
    name, _ = packing.named(outcome.account)
    one = outcome.account
    return name, facts.Account(one.actions, one.options, one.findings)


def _treated(number: int, outcome: Outcome, software: str) -> facts.Treated:
    clean, receipt = outcome.clean or _NOBODY, outcome.receipt
    return facts.Treated(
        number=number,
        original={"sha256": outcome.source_digest},
        account=_account(outcome)[0],
        rule="penumbra deid",
        job=0,
        software=software,
        at=outcome.at,
        series_instance_uid=clean.series_instance_uid,
        sop_instance_uid=clean.sop_instance_uid,
        patient_pseudonym=clean.patient_pseudonym,
        code=outcome.code,
        reason=outcome.reason,
        deliveries=(delivery(receipt),) if receipt else (),
    )
