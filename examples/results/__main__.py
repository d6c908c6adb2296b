"""Build results of all kinds about all kinds of originals, and show them to every validator.

    python -m examples.results [--kept FOLDER]

Prints a table; exit status 1 where a validator finds an error or a reference leads nowhere.
"""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from pathlib import Path

from pydicom import dcmread

from ai.report.build import build
from ai.result import Result, ResultKind
from examples.results import originals, validators
from examples.results.findings import FINDINGS, references_in, subject

SETTLED = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Case:
    """Results about one Series, in files."""

    name: str
    results: tuple[Result, ...]
    paths: tuple[Path, ...]
    known: frozenset[str]
    """What references may lead to: the originals and the results."""


def cases(folder: Path, rounds: int = 2) -> Iterator[Case]:
    """Build everything: each kind of findings about each kind of originals, names in turn."""
    names = cycle(originals.NAMES)
    for lap in range(rounds):
        for kind in originals.KINDS:
            for found in FINDINGS:
                yield case(folder, kind, found, next(names), f"{lap}-{kind}-{found}")


def case(folder: Path, kind: str, found: str, name: originals.Name, label: str) -> Case:
    """Build all results of one kind of findings about one kind of originals."""
    source = originals.source(kind, name)
    results = build(
        subject(source, found),
        list(ResultKind),
        now=SETTLED,
        images=partial(originals.pixels, source),
    )
    paths = []
    for number, result in enumerate(results):
        paths.append(folder / f"{label}-{number}.{result.kind}.dcm")
        paths[-1].write_bytes(result.part10)
    uids = [item.sop_instance_uid for item in (*source.references, *results)]
    return Case(label, results, tuple(paths), frozenset(uids))


def unresolved(case: Case) -> list[str]:
    """Give the references of a case's objects that lead neither to an original nor to a result."""
    referred = {uid for path in case.paths for uid in references_in(dcmread(path))}
    return sorted(referred - case.known)


def judge(path: Path, kind: ResultKind) -> dict[str, list[str]]:
    """Let every validator that is there and knows an object's kind look at it."""
    found = {"dciodvfy": validators.dciodvfy(path)}
    if kind is ResultKind.SR:
        if validators.has_dcmtk():
            found["dsrdump"] = validators.dsrdump(path)
        if validators.has_pixelmed():
            found["PixelMed"] = validators.pixelmed(path)
    elif kind is ResultKind.GSPS:
        if validators.has_dcmtk():
            found["dcmpschk"] = validators.dcmpschk(path)
    else:
        found["highdicom"] = validators.readable(path)
    return found


def main() -> int:
    """Build, judge, print; give the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.results", description=__doc__)
    parser.add_argument("--kept", type=Path, help="leave the objects in this folder")
    kept = parser.parse_args().kept
    with tempfile.TemporaryDirectory() as scratch:
        folder = kept or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        return _judge_all(list(cases(folder)))


def _judge_all(made: list[Case]) -> int:
    objects = [
        (path, result.kind)
        for case in made
        for path, result in zip(case.paths, case.results, strict=True)
    ]
    counted = Counter(kind for _, kind in objects)
    print("built:", ", ".join(f"{count} {kind}" for kind, count in counted.items()))
    looked: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    with ThreadPoolExecutor(os.process_cpu_count() if sys.version_info >= (3, 13) else 2) as pool:
        for (path, _), found in zip(
            objects, pool.map(lambda one: judge(*one), objects), strict=True
        ):
            for validator, errors in found.items():
                looked[validator] += 1
                faults[validator] += bool(errors)
                for error in errors[:3]:
                    print(f"  {path.name}: {validator}: {error}")
    for case in made:
        faults["references"] += bool(lost := unresolved(case))
        looked["references"] += len(case.paths)
        for uid in lost:
            print(f"  {case.name}: nothing has the UID {uid}")
    print(f"{'validator':<12}{'objects':>9}{'with errors':>13}")
    for validator, count in looked.items():
        print(f"{validator:<12}{count:>9}{faults[validator]:>13}")
    for name, package in _absent():
        print(f"not asked: {name} (Debian: apt-get install {package})")
    return 1 if sum(faults.values()) else 0


def _absent() -> Iterator[tuple[str, str]]:
    if not validators.has_dcmtk():
        yield "dsrdump, dcmpschk", "dcmtk"
    if not validators.has_pixelmed():
        yield "PixelMed", validators.PIXELMED_PACKAGES


if __name__ == "__main__":
    sys.exit(main())
