"""What a person decides about single jobs: put back to work, or given up."""

import time
from collections.abc import Sequence
from pathlib import Path

from config.load import load
from dicom.errors import DoesNotMatch
from routing.job import Move, State
from storage.ledger.ledger import Ledger


def move_jobs(config_file: Path, job_ids: Sequence[int], move: Move) -> int:
    """Retry or drop jobs; with no ids, every held job. Returns how many were moved.

    Raises DoesNotMatch naming the jobs that are in no state to be moved so, after the others.
    """
    ledger = Ledger.open_existing(load(config_file, with_secrets=False).node.data_dir)
    act = {Move.RETRY: ledger.jobs.retry, Move.DROP: ledger.jobs.drop}[move]
    ids = list(job_ids) or [job.id for job in ledger.jobs.list([State.HELD])]
    missing = [job for job in ids if act(job, time.time()) is None]
    ledger.close()
    if missing:
        named = ", ".join(map(str, missing))
        raise DoesNotMatch(f"cannot {move} {named}: `penumbra held` lists what can be moved")
    return len(ids)
