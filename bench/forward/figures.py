"""The figures that delivery has to reach, and whether a run reached them, purely."""

import math
from collections.abc import Callable, Iterator

from bench.bounds import Figure
from bench.forward import to_bucket, to_orthanc
from bench.laps import Results

COMMAND = "python -m bench.forward"
AMONG = {"ct": "CT, 526 KB", "mr": "MR, 34 KB"}
OF_ENGINE_AND_STORE, OF_STORESCU, AFTER_RETURN_S, RULES_US, HELD_S = 0.8, 1.0, 60.0, 20.0, 1.0
INGEST_KEPT, CPU_GROWN = 0.9, 1.1
"""Two medians of one thing differ by so much on a quiet machine: that is nothing."""
UPLOAD_ONLY = (
    "beside what the parts do alone, the worker checks each object's digest as it leaves the spool,"
    " validates what the engine made, computes its digest, and writes receipts"
)
PROOF = f"{UPLOAD_ONLY}; and it reads the bucket's copy again and computes that one's digest"
DICOM = "the receiver decides the rate, and checking each object's digest comes on top"
MANY_JOBS = (
    "each Series is a job of its own: claimed, read, sent, proven and finished in transactions of"
    " their own, by two workers, where the transfer alone has eight requests on their way"
)
BUSIER = "the front does more with them than without, or the turns were too short to tell"
BORDER = "ten rules of three conditions each, in Python; more rules take longer"
START = "the start of Python and its modules is part of it"


def figures(base: str) -> Iterator[Figure]:
    """List every figure; `base` is the profile that was applied."""
    for check, why in (("checksum", UPLOAD_ONLY), ("read-back", PROOF)):
        yield Figure(
            f"{AMONG['ct']}: de-identify and upload, proven by {check}, of engine + obstore alone",
            OF_ENGINE_AND_STORE, True, "x",
            _ratio(to_bucket.case("ct"), to_bucket.worker(check, base), to_bucket.BOTH),
            why, f"{COMMAND} --parts bucket --work ct",
        )  # fmt: skip
    for work, words in AMONG.items():
        yield Figure(
            f"{words}: forward to Orthanc, of storescu's rate", OF_STORESCU, True, "x",
            _ratio(
                to_orthanc.case(work), to_orthanc.worker(to_orthanc.DEFAULT), to_orthanc.STORESCU
            ),
            DICOM, f"{COMMAND} --parts orthanc --work {work}",
        )  # fmt: skip
    waiting = f"{COMMAND} --parts waiting"
    yield Figure("Series behind a dead bucket: the front's rate beside that without them",
                 INGEST_KEPT, True, "x", _found("ingest, ratio"),
                 BUSIER, waiting)  # fmt: skip
    yield Figure("the same: the front's processor time per object, beside that without them",
                 CPU_GROWN, False, "x", _front, BUSIER, waiting)  # fmt: skip
    yield Figure("the same: all delivered after the bucket's return, less the transfer alone",
                 AFTER_RETURN_S, False, "s", _drained, MANY_JOBS, waiting)  # fmt: skip
    yield Figure("evaluate ten rules for a Series", RULES_US, False, "µs", _found("rules"),
                 BORDER, f"{COMMAND} --parts rules")  # fmt: skip
    yield Figure("list 100,000 held jobs by `penumbra held`", HELD_S, False, "s", _held,
                 START, f"{COMMAND} --parts held")  # fmt: skip


def _ratio(case: str, name: str, base: str) -> Callable[[Results], float | None]:
    return lambda results: results.ratio(case, name, base)


def _found(name: str) -> Callable[[Results], float | None]:
    return lambda results: results.findings.get(name)


def _front(results: Results) -> float | None:
    with_them, without = (results.findings.get(f"front, {one}") for one in ("with", "without"))
    return with_them / without if with_them is not None and without else None


def _drained(results: Results) -> float | None:
    """Give the time beyond the transfer; without end where something was left, or spent."""
    found = results.findings
    if "drain, all" not in found:
        return None
    if found["drain, done"] < found["drain, series"] or found["drain, attempts spent"]:
        return math.inf
    return found["drain, all"] - found["drain, transfer alone"]


def _held(results: Results) -> float | None:
    """Give the time, of the full number alone."""
    return results.findings.get("held") if results.findings.get("held, jobs") == 100_000 else None
