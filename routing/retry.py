"""Whether a failed job is tried again, and when: soon a few times, then seldom, for days."""

from dataclasses import dataclass

from dicom.errors import Fault


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a job is tried soon, how long the waits are, and when it is given to a person."""

    attempts: int = 3
    """Tries with short waits between them; behind them the long waits begin."""
    first_wait_s: float = 2.0
    """The first short wait; later ones double..."""
    longest_wait_s: float = 300.0
    """...up to here."""
    first_slow_wait_s: float = 300.0
    """The first long wait; later ones double..."""
    longest_slow_wait_s: float = 3600.0
    """...up to here."""
    give_up_s: float = 72 * 3600.0
    """A job that has failed for so long is held; 0 holds it after the short waits."""


def wait_s(policy: Policy, attempts: int, chance: float) -> float:
    """Give the wait after the n-th failed attempt: doubling, spread by a quarter either way.

    `chance` is uniform in [0, 1): many jobs that failed together do not come back together.
    """
    if attempts < policy.attempts:
        first_s, longest_s, n = policy.first_wait_s, policy.longest_wait_s, attempts
    else:
        first_s, longest_s = policy.first_slow_wait_s, policy.longest_slow_wait_s
        n = attempts - policy.attempts + 1
    # Bounded before it is raised: behind some thousand attempts the power is no float any more.
    wait = min(first_s * 2.0 ** min(n - 1, 60), longest_s)
    return wait * (0.75 + 0.5 * chance)


def tries_again(policy: Policy, fault: Fault, attempts: int, failing_s: float) -> bool:
    """Say whether a job that has failed `attempts` times waits or is held.

    `failing_s` is how long ago its first failure was, this one included: 0 for the first.
    """
    return fault.retry and (attempts < policy.attempts or failing_s < policy.give_up_s)
