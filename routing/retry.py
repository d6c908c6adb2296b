"""Whether a failed job is tried again, and when."""

from dataclasses import dataclass

from dicom.errors import Fault


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a job is tried, and how long the first wait is; later waits double."""

    attempts: int = 3
    first_wait_s: float = 2.0
    longest_wait_s: float = 300.0


def wait_s(policy: Policy, attempts: int, chance: float) -> float:
    """Give the wait after the n-th failed attempt: doubling, spread by a quarter either way.

    `chance` is uniform in [0, 1): many jobs that failed together do not come back together.
    """
    wait = min(policy.first_wait_s * 2.0 ** (attempts - 1), policy.longest_wait_s)
    return wait * (0.75 + 0.5 * chance)


def tries_again(policy: Policy, fault: Fault, attempts: int) -> bool:
    """Say whether a job that has failed `attempts` times with this fault waits or is held."""
    return fault.retry and attempts < policy.attempts
