"""The table that says what became of each object: its Instance beside its jobs and deliveries.

Made when somebody asks; the index holds nothing of it a second time.
"""

from typing import Final

from storage.index.taken_from_heads import UIDS, HeadView

_OF_INSTANCE: Final = ("received_at", "calling_ae", "origin")
_OF_JOB: Final = ("kind", "rule", "target", "revision", "state", "fault", "ended_at")
_OF_DELIVERY: Final = ("delivered_at", "proof")


def _outcome() -> HeadView:
    """Give each Instance once for each rule and target of its Series, with the last job."""
    plain = (*_OF_INSTANCE, "job", *_OF_JOB, *_OF_DELIVERY)
    picked = [f"instance.{name}" for name in (*UIDS, *_OF_INSTANCE)]
    picked += ["job.id AS job", *(f"job.{name}" for name in _OF_JOB)]
    picked += [f"sent.{name}" for name in _OF_DELIVERY]
    last = (
        "(SELECT * FROM job QUALIFY row_number() OVER (PARTITION BY StudyInstanceUID,"
        " SeriesInstanceUID, kind, rule, target ORDER BY revision DESC, id DESC) = 1)"
    )
    sent = (
        "(SELECT source_uid, destination, max(delivered_at) AS delivered_at,"
        " arg_max(proof, delivered_at) AS proof FROM delivery GROUP BY ALL)"
    )
    # A job without a Series is about the whole Study.
    source = (
        f"(SELECT {', '.join(picked)} FROM instance LEFT JOIN {last} AS job"  # noqa: S608  (our own names)
        " ON job.StudyInstanceUID = instance.StudyInstanceUID"
        " AND coalesce(job.SeriesInstanceUID, instance.SeriesInstanceUID)"
        " = instance.SeriesInstanceUID"
        f" LEFT JOIN {sent} AS sent ON sent.source_uid = instance.SOPInstanceUID"
        " AND sent.destination = job.target)"
    )
    return HeadView(source, (*UIDS, *plain), plain)


OUTCOME: Final = _outcome()
