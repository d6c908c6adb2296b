"""What a run measures, in which order, and how much of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from bench.forward import deciding, through, to_bucket, to_orthanc, waiting
from bench.forward.waiting import Crowd
from bench.ingest.workload import WORKLOADS, files_of
from bench.laps import Results
from bench.measuring import Measuring

PARTS = ("rules", "held", "bucket", "orthanc", "through", "waiting")
WORKS = ("ct", "mr")


@dataclass(frozen=True, slots=True)
class Size:
    """How much each part does."""

    bucket: int = 2_000
    """Objects put by each contender, in Series of 200."""
    orthanc: int = 1_400
    through: int = 400
    through_turns: int = 3
    crowd: Crowd = field(default_factory=Crowd)
    series: int = deciding.SERIES
    held: int = deciding.HELD


QUICK = Size(10, 5, 5, 1, Crowd(20, 40, 1, 0.1, 0.3), 50, 500)


@dataclass(frozen=True, slots=True)
class Means:
    """What a run was given."""

    works: Sequence[str]
    size: Size
    profile: str
    """By which objects are de-identified, where they are."""
    boto_python: Path
    """The interpreter that has boto3; it need not exist."""
    home: Path
    """Keeps programs and files for the next run."""


def runs(means: Means, parts: Sequence[str]) -> Iterator[tuple[str, Measuring]]:
    """List what is measured, in order."""
    size = means.size
    if "rules" in parts:
        yield "rules", lambda results, _: deciding.rules(results, series=size.series)
    if "held" in parts:
        yield "held", partial(deciding.held, count=size.held)
    for work in means.works:
        if "bucket" in parts:
            yield f"bucket {work}", partial(_bucket, means, work)
        if "orthanc" in parts:
            yield f"orthanc {work}", partial(_orthanc, means, work)
        if "through" in parts:
            yield f"through {work}", partial(_through, means, work)
    if "waiting" in parts:
        yield (
            "waiting",
            lambda results, folder: waiting.measure(results, folder, means.home, size.crowd),
        )


def _bucket(means: Means, work: str, results: Results, folder: Path) -> None:
    objects, python = means.size.bucket, means.boto_python
    to_bucket.measure(results, folder, work, objects, means.profile, python)


def _orthanc(means: Means, work: str, results: Results, folder: Path) -> None:
    to_orthanc.measure(results, folder, work, means.size.orthanc, means.profile)


def _through(means: Means, work: str, results: Results, folder: Path) -> None:
    files = files_of(WORKLOADS[work], means.home / "work")[: means.size.through]
    size = means.size
    rest_s = size.crowd.rests_within_s
    through.measure(results, folder, files, work, size.through_turns, rest_s=rest_s)
