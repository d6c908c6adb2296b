"""Fuzz the way in, for `make fuzz`: identifiers and the lane in process, then a real listener.

FUZZ_SECONDS says how long (60), FUZZ_SEED which chance (a new one each time), FUZZ_CASE which
single case of the first two. Findings are written to var/fuzz; there is one: the exit status is 1.
"""

import os
import random
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

from tests.fuzz import door, golden, identifiers, parser

FOLDER = Path("var/fuzz")
PARSER_SHARE = 0.4
IDENTIFIER_SHARE = 0.1
MOST_FINDINGS = 20


def main() -> int:
    """Fuzz, and say what was done and found; returns the exit status."""
    warnings.simplefilter("ignore")  # pydicom's, about damaged values; node/logs.py masks them
    seconds = float(os.environ.get("FUZZ_SECONDS") or 60)
    seed = int(os.environ.get("FUZZ_SEED") or random.SystemRandom().randrange(1 << 31))
    case = os.environ.get("FUZZ_CASE")
    print(f"seed {seed}: FUZZ_SEED={seed} make fuzz does this again", flush=True)
    if case:
        found = (parser.judge(parser.case(seed, int(case), golden.load_all())),
                 identifiers.judge(seed, int(case)))  # fmt: skip
        return report([one for one in found if one])
    asked = identifiers.run(seed, seconds * IDENTIFIER_SHARE)
    said = parser.run(seed, seconds * PARSER_SHARE)
    return report([*fuzz("identifiers: {} read in each model", asked),
                   *fuzz("lane: {} streams read twice", said),
                   *fuzz_door(seed, seconds * (1 - PARSER_SHARE - IDENTIFIER_SHARE))])  # fmt: skip


def fuzz(words: str, cases: Iterable[parser.Finding | int]) -> list[parser.Finding]:
    """Fuzz in process."""
    findings: list[parser.Finding] = []
    for one in cases:
        if isinstance(one, int):
            print(f"{words.format(one)}, {len(findings)} findings", flush=True)
        else:
            findings.append(one)
            if len(findings) == MOST_FINDINGS:
                break
    return findings


def fuzz_door(seed: int, seconds: float) -> list[parser.Finding]:
    """Fuzz a listener."""
    findings: list[parser.Finding] = []
    for one in door.run(seed, seconds):
        if isinstance(one, door.Epoch):
            print(
                f"door: seed {one.seed}, {one.streams} damaged streams beside {one.honest} honest"
                f" objects, {one.stored} objects kept, {len(findings)} findings so far",
                flush=True,
            )
        else:
            findings.append(one)
    return findings


def report(findings: list[parser.Finding]) -> int:
    """Write findings down, if any; returns the exit status."""
    if not findings:
        print("nothing found")
        return 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for one in findings:
        path = FOLDER / f"{one.seed}-{one.number}.txt"
        path.write_text(str(one))
        print(f"FOUND {path}: {one.words[0][:200]}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
