"""The figures that asking models has to reach."""

from collections.abc import Callable, Iterator

from bench.bounds import Figure
from bench.infer.calls import CALL, HAND, NODE, SERIES, SHARED, SLABS, with_slabs
from bench.laps import Results

COMMAND = "python -m bench.infer"
CALL_US, SERIES_TIMES, SHARED_TIMES, RESUME_S = 100.0, 1.1, 3.0, 5.0
REPORT_S, A_MINUTE = 2.0, 50.0
FULL_SERIES = 300
CLIENT = "what the pool decides and checks for each call is Python"
COPIES = "the node sends what the best client sends; what differs is chance on two cores"
MEMORY = "the server copies a tensor once more to its model's process"
KILLED = "a request that was under way is asked again elsewhere"
SETTLE = "a Series counts as complete 1 s after its association was released"
BURST = "two cores carry node, model and PACS"
AWAY = "a node that has jobs for a model asks for it every 2 s, give or take a quarter"


def figures() -> Iterator[Figure]:
    """List every figure."""
    yield Figure("a small call: what the node adds to tritonclient", CALL_US, False, "µs",
                 overhead_us, CLIENT, f"{COMMAND} --parts calls")  # fmt: skip
    yield Figure("300 slices of 512 x 512 by gRPC: time beside the best client by hand",
                 SERIES_TIMES, False, "x", beside_best(NODE), COPIES,
                 f"{COMMAND} --parts calls")  # fmt: skip
    yield Figure("the same by shared memory: times as fast as the best client by hand",
                 SHARED_TIMES, True, "x", _faster, MEMORY, f"{COMMAND} --parts calls")  # fmt: skip
    yield Figure("one of two servers killed under load: Series that failed", 0, False, "",
                 _found("killed, failed"), KILLED, f"{COMMAND} --parts killed")  # fmt: skip
    yield Figure("all servers down: jobs lost", 0, False, "", _found("away, lost"), AWAY,
                 f"{COMMAND} --parts away")  # fmt: skip
    yield Figure("all servers down: first result once one is ready", RESUME_S, False, "s",
                 _found("away, first s"), AWAY, f"{COMMAND} --parts away")  # fmt: skip
    through = f"{COMMAND} --parts through"
    yield Figure("last slice to the report at the PACS, less the model's time: p95", REPORT_S,
                 False, "s", _found("result, p95 s"), SETTLE, through)  # fmt: skip
    yield Figure("a burst of studies: reported per minute", A_MINUTE, True, "",
                 _found("burst, per minute"), BURST, through)  # fmt: skip


def overhead_us(results: Results) -> float | None:
    """Give what the node adds to a call, the median of the differences within one turn."""
    ratio, theirs = results.ratio(CALL, NODE, HAND), results.rate(CALL, HAND)
    if ratio is None or theirs is None:
        return None
    return 1e6 / theirs * (1 / ratio - 1)


def best(results: Results, client: str) -> str | None:
    """Name a client with the slabs with which it was the quickest over all turns."""
    names = [with_slabs(client, count) for count in SLABS]
    rates = {name: results.rate(SERIES, name) for name in names}
    known = {name: rate for name, rate in rates.items() if rate is not None}
    return max(known, key=lambda name: known[name]) if known else None


def beside_best(client: str) -> Callable[[Results], float | None]:
    """Give a client's time as a part of that of the best by hand, of a full Series alone."""

    def value(results: Results) -> float | None:
        base, name = best(results, HAND), best(results, client)
        if base is None or name is None or results.findings.get("series, slices") != FULL_SERIES:
            return None
        faster = results.ratio(SERIES, name, base)
        return None if faster is None else 1 / faster

    return value


def _faster(results: Results) -> float | None:
    share = beside_best(SHARED)(results)
    return None if share is None else 1 / share


def _found(name: str) -> Callable[[Results], float | None]:
    return lambda results: results.findings.get(name)
