"""Which measurements are made, and in which order: so that drift of the machine hits all alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MATRIX = "matrix"
"""One peer, one workload, so many associations: the side-by-side tables."""
STORESCU = "storescu"
"""The same with DCMTK's storescu as the client."""
BURST = "burst"
"""20,000 small objects, and how far behind filing then is."""
QUIET = "quiet"
"""A node whose workers have nothing to do..."""
BUSY = "busy"
"""...and the same node while they de-identify."""

EXTRAS = {
    BURST: ("small", 4),
    QUIET: ("ct", 4),
    BUSY: ("ct", 4),
}
"""Measurements of the node alone, each with its workload and number of associations."""
WITH_STORESCU = "ct"
"""The workload that storescu sends as well."""


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement to make."""

    case: str
    peer: str
    work: str
    associations: int
    repetition: int


def steps(
    peers: Sequence[str],
    works: Sequence[str],
    associations: Sequence[int],
    *,
    clients: Sequence[str],
    for_storescu: Sequence[str],
    extras: Sequence[str],
    repetitions: int,
) -> Iterator[Step]:
    """List all measurements: within a repetition peer follows peer on the same workload.

    Each repetition starts with the next peer, so that none always follows the same one.
    `for_storescu` names those of the peers that storescu sends to.
    """
    for repetition in range(repetitions):
        first = repetition % max(len(peers), 1)
        turn = [*peers[first:], *peers[:first]]
        if "load" in clients:
            for work in works:
                for count in associations:
                    yield from (Step(MATRIX, peer, work, count, repetition) for peer in turn)
        if "storescu" in clients and WITH_STORESCU in works:
            for count in associations:
                for peer in turn:
                    if peer in for_storescu:
                        yield Step(STORESCU, peer, WITH_STORESCU, count, repetition)
        if "node" in peers:
            yield from (Step(case, "node", *EXTRAS[case], repetition) for case in extras)
