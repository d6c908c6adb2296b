"""The figures that questions and retrievals have to reach."""

from collections.abc import Callable, Iterator

from bench.bounds import Figure
from bench.laps import Results
from bench.query.beside import NODE, ORTHANC, case
from bench.query.questions import KINDS
from bench.query.retrieving import FIRST_OBJECT, MOVE, WADO
from bench.query.scale import MANY, PAGE

COMMAND = "python -m bench.query"
WAYS = {"find": "C-FIND", "qido": "QIDO-RS"}
UNTIL = {"find": "to the first match", "qido": f"of a page of {PAGE}"}
OF_ORTHANC, OF_ORTHANC_RETRIEVE, FIRST_MATCH_MS, MANY_S, FIRST_BYTE_MS = 0.5, 1.5, 30.0, 1.0, 50.0
INDEX_BYTES, MEMORY_MB = 400.0, 64.0
LATENCY = "both answer in a moment; what is left is Python between socket and index"
RATE = "two cores carry sender and receiver"
SCAN = "what no index helps is searched through"


def figures() -> Iterator[Figure]:
    """List every figure."""
    for way, words in WAYS.items():
        for kind in KINDS:
            yield Figure(
                f"{words} by {kind} among 10,000 studies: p50 beside Orthanc's", OF_ORTHANC, False,
                "x", _share(case(way, kind)), LATENCY, f"{COMMAND} --parts find",
            )  # fmt: skip
    for way, words in WAYS.items():
        for kind in KINDS:
            yield Figure(
                f"{words} by {kind} among 1,000,000 studies: p95 {UNTIL[way]}",
                FIRST_MATCH_MS, False, "ms", _scaled(f"{way} {kind}, p95"), SCAN,
                f"{COMMAND} --parts scale",
            )  # fmt: skip
    yield Figure("the same: 1,000 matches by C-FIND", MANY_S, False, "s", _many, LATENCY,
                 f"{COMMAND} --parts scale")  # fmt: skip
    yield Figure("the index, without heads, per Instance", INDEX_BYTES, False, "bytes",
                 _scaled("scale, bytes per instance"), "more columns than that holds",
                 f"{COMMAND} --parts scale")  # fmt: skip
    for way in (MOVE, WADO):
        yield Figure(
            f"{way} of a CT Series of 1,000: rate beside Orthanc's", OF_ORTHANC_RETRIEVE, True, "x",
            lambda results, way=way: results.ratio(way, NODE, ORTHANC),  # type: ignore[misc]
            RATE, f"{COMMAND} --parts retrieve",
        )  # fmt: skip
    yield Figure(
        "C-MOVE: the first object is on its way, the slowest of all turns", FIRST_BYTE_MS, False,
        "ms", _found(FIRST_OBJECT), LATENCY, f"{COMMAND} --parts retrieve",
    )  # fmt: skip
    yield Figure("WADO-RS: the first byte, the slowest of all turns", FIRST_BYTE_MS, False, "ms",
                 _found(f"first byte, {NODE}"), LATENCY, f"{COMMAND} --parts retrieve")  # fmt: skip
    yield Figure("the front's memory grows, while it gives 526 MB nine times", MEMORY_MB, False,
                 "MB", _memory, "some objects are read ahead for each retrieval",
                 f"{COMMAND} --parts retrieve")  # fmt: skip


def _share(label: str) -> Callable[[Results], float | None]:
    """Give our time as a part of theirs: the inverse of how many times as fast we are."""

    def value(results: Results) -> float | None:
        faster = results.ratio(label, NODE, ORTHANC)
        return None if faster is None else 1 / faster

    return value


def _found(name: str) -> Callable[[Results], float | None]:
    return lambda results: results.findings.get(name)


def _scaled(name: str) -> Callable[[Results], float | None]:
    """Give a finding, of the full number of studies alone."""

    def value(results: Results) -> float | None:
        is_full = results.findings.get("scale, studies") == 1_000_000
        return results.findings.get(name) if is_full else None

    return value


def _many(results: Results) -> float | None:
    """Give the time for a thousand, of what was found in the time that it took."""
    took_s, matches = _scaled("many")(results), results.findings.get("many, matches", 0)
    return took_s * MANY / matches if took_s is not None and matches >= MANY else None


def _memory(results: Results) -> float | None:
    grown = results.findings.get("retrieve, memory")
    return None if grown is None else grown / 1e6
