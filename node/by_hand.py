"""What a person decides about held jobs: put back to work, or given up; single ones, or many."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from config.load import load
from dicom.errors import DoesNotMatch
from node.ledger import open_ledger
from routing.job import Move
from storage.ledger.held import Which


def move_jobs(config_file: Path, job_ids: Sequence[int], move: Move, which: Which) -> int:
    """Retry or drop jobs by id; without ids, the held jobs of a target, with a fault, or all.

    Returns how many were moved. Raises DoesNotMatch naming the jobs that are in no state to be
    moved so, after the others.
    """
    with closing(open_ledger(load(config_file, with_secrets=False))) as ledger:
        now = ledger.database.now()
        if not job_ids:
            return ledger.held.move(move, which, now)
        act = {Move.RETRY: ledger.jobs.retry, Move.DROP: ledger.jobs.drop}[move]
        missing = [job for job in job_ids if act(job, now) is None]
    if missing:
        named = ", ".join(map(str, missing))
        raise DoesNotMatch(f"cannot {move} {named}: `penumbra held` lists what can be moved")
    return len(job_ids)
