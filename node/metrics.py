"""Count what the node does, for Prometheus; no patient data, and peers by AE title only.

Counters are moved by the association they speak of. Gauges are read from the node's own facts,
those that `penumbra status` prints, at the moment of a scrape.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from dicom.errors import Fault
from dicom.suboperations import Outcome
from node.admission import AssociationFacts, AssociationRequest, Reject
from node.conversation import Ending
from node.negotiation import Negotiated
from node.retrieving import Retrieved
from node.watermarks import DiskState

Facts = Mapping[str, Mapping[str, object]]
"""Plain facts by section and key, as `penumbra status --json` prints them."""

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
UNKNOWN: Final = "unknown"
"""The label of every AE title that is not among the configured peers, and no token's."""

_GAUGES: Final = (
    ("node", "uptime_s", "penumbra_uptime_seconds", "Time since the start."),
    ("node", "associations", "penumbra_associations_open", "Associations open now."),
    ("received", "instances", "penumbra_instances", "Instances in the ledger."),
    ("received", "series", "penumbra_series", "Series in the ledger."),
    ("received", "open_series", "penumbra_series_open", "Series not complete yet."),
    ("received", "studies", "penumbra_studies", "Studies in the ledger."),
    ("receipts", "instances", "penumbra_receipts", "Instances proven at a destination."),
    ("spool", "bytes", "penumbra_spool_bytes", "Size of the spool."),
    ("spool", "segments", "penumbra_spool_segments", "Files of the spool."),
    ("spool", "free_bytes", "penumbra_spool_free_bytes", "Room on the spool's disk."),
    ("index", "instances", "penumbra_index_instances", "Instances that can be found."),
    ("index", "lag_records", "penumbra_index_lag_records", "Stored, not yet indexed."),
    ("disk", "pause_s", "penumbra_store_pause_seconds", "How long an answer waits for room."),
    ("retention", "releasable_bytes", "penumbra_releasable_bytes", "Proven, and could leave."),
    ("retention", "released_instances", "penumbra_released_instances", "Left since the start."),
    ("retention", "released_bytes", "penumbra_released_bytes", "Their bytes."),
    ("retention", "freed_bytes", "penumbra_spool_freed_bytes", "Room given back to the disk."),
    ("tls", "certificate_left_s", "penumbra_tls_certificate_seconds", "Until it expires."),
    ("events", "unpublished", "penumbra_events_unpublished", "Events no broker has yet."),
)
_SECONDS: Final = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class Metrics:
    """The node's numbers, in a registry of their own. Watches associations (AssociationWatcher)."""

    def __init__(self, peers: Collection[str]) -> None:
        self._peers = frozenset(peers)
        self._registry = CollectorRegistry()
        self._opened = self._counter("associations", "Associations accepted.", "peer")
        self._rejected = self._counter("associations_rejected", "Associations rejected.", "reason")
        self._refused = self._counter(
            "contexts_refused", "Presentation contexts refused.", "peer", "reason"
        )
        self._closed = self._counter("associations_closed", "How they ended.", "peer", "outcome")
        self._objects = self._counter("objects", "C-STORE answers by status.", "peer", "status")
        self._bytes = self._counter("received_bytes", "Dataset bytes stored.", "peer")
        self._retrievals = self._counter(
            "retrievals", "C-MOVE and C-GET by their last status.", "peer", "kind", "status"
        )
        self._sub_operations = self._counter(
            "sub_operations", "Objects sent by C-MOVE and C-GET.", "peer", "kind", "outcome"
        )
        self._retrieved_bytes = self._counter(
            "retrieved_bytes", "Bytes of what was sent so.", "peer", "kind"
        )
        self._seconds = self._histogram("association_seconds", "Length of associations.", "peer")
        self._facts = _FactsCollector()
        self._registry.register(self._facts)
        ProcessCollector(namespace="penumbra", registry=self._registry)

    def read_from(self, facts: Callable[[], Facts]) -> None:
        """Take the gauges from here at each scrape."""
        self._facts.source = facts

    def render(self) -> bytes:
        """Write everything as OpenMetrics text, of CONTENT_TYPE."""
        text: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]  # theirs
        return text

    def on_opened(self, association: AssociationFacts) -> None:
        """Count an accepted association."""
        self._opened.labels(self._peer(association.calling_ae)).inc()

    def on_stored(self, association: AssociationFacts, status: int, size_bytes: int) -> None:
        """Count an answered C-STORE, and its bytes where it was stored."""
        peer = self._peer(association.calling_ae)
        self._objects.labels(peer, f"0x{status:04X}").inc()
        if status == 0:
            self._bytes.labels(peer).inc(size_bytes)

    def on_closed(self, association: AssociationFacts, ending: Ending) -> None:
        """Count how an association ended, and how long it took."""
        peer = self._peer(association.calling_ae)
        self._closed.labels(peer, str(ending.outcome)).inc()
        self._seconds.labels(peer).observe(ending.seconds)

    def on_retrieved(self, retrieved: Retrieved) -> None:
        """Count a retrieval and its sub-operations, for who asked."""
        peer, kind = self._peer(retrieved.calling_ae), retrieved.kind
        self._retrievals.labels(peer, kind, retrieved.outcome).inc()
        outcomes = {
            Outcome.COMPLETED: retrieved.completed,
            Outcome.WARNING: retrieved.warning,
            Outcome.FAILED: retrieved.failed,
        }
        for outcome, count in outcomes.items():
            if count:
                self._sub_operations.labels(peer, kind, str(outcome)).inc(count)
        self._retrieved_bytes.labels(peer, kind).inc(retrieved.size_bytes)

    def on_rejected(self, request: AssociationRequest, verdict: Reject) -> None:
        """Count a rejected association by its cause."""
        del request  # whoever can reach the port chooses its titles: they are no labels
        self._rejected.labels(str(verdict.cause)).inc()

    def on_negotiated(self, association: AssociationFacts, negotiated: Negotiated) -> None:
        """Count refused presentation contexts by reason; the peer may be a stranger's title."""
        peer = self._peer(association.calling_ae)
        for one in negotiated.refused:
            self._refused.labels(peer, str(one.why)).inc()

    def on_failed_handshake(self, address: str, words: str) -> None:
        """Need nothing of it: the keeper of the certificate counts them by kind (node/tls.py)."""

    def _peer(self, title: str) -> str:
        return title if title in self._peers else UNKNOWN

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(name, words, labels, namespace="penumbra", registry=self._registry)

    def _histogram(self, name: str, words: str, *labels: str) -> Histogram:
        return Histogram(
            name, words, labels, namespace="penumbra", registry=self._registry, buckets=_SECONDS
        )


class _FactsCollector(Collector):
    """Turns facts into gauges; facts that cannot be read are told by a gauge of their own."""

    def __init__(self) -> None:
        self.source: Callable[[], Facts] = dict

    def describe(self) -> list[Metric]:
        """Name nothing ahead: registering shall not read the ledger."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read the facts, once a scrape."""
        facts: Facts = {}
        readable = 1.0
        try:
            facts = self.source()
        except Fault:
            readable = 0.0
        if facts and "received" not in facts:  # all but the ledger's
            readable = 0.0
        yield _gauge("penumbra_facts_readable", "Whether the ledger answers.", {"": readable})
        for section, key, name, words in _GAUGES:
            value = facts.get(section, {}).get(key)
            if isinstance(value, (int, float)):
                yield _gauge(name, words, {"": value})
        if counts := _numbers(facts.get("jobs")):
            yield _gauge("penumbra_jobs", "Jobs by state.", counts, "state")
        if away := facts.get("unreachable"):
            words = "1 for a destination or model that does not answer, while something is owed."
            yield _gauge("penumbra_target_unreachable", words, dict.fromkeys(away, 1.0), "target")
        if quarantined := _numbers(facts.get("quarantined")):
            words = "Objects that may not leave under a profile, by the fault."
            yield _gauge("penumbra_quarantined_objects", words, quarantined, "reason")
        if state := facts.get("disk", {}).get("state"):
            states = {each.word: float(each.word == state) for each in DiskState}
            yield _gauge("penumbra_disk_state", "1 for the state it is in.", states, "state")
        words = "Times that a rule could not be evaluated for a Series."
        yield _counter("penumbra_rules_failed", words, _numbers(facts.get("rules_failed")), "rule")
        if asked := _numbers(facts.get("asked")):
            words = "Peers asked how many Instances a Study has."
            yield _counter("penumbra_counts_asked", words, asked, "outcome")
        yield from _worklist(facts.get("worklist", {}))
        if sources := facts.get("sources"):
            yield from _sources(sources)
        yield from _lakes(facts.get("lakes", {}))
        if "tls" in facts:
            yield _handshakes(_numbers(facts["tls"].get("handshakes_failed")))


def _numbers(facts: object) -> dict[str, float]:
    counts = facts.items() if isinstance(facts, Mapping) else ()
    return {str(key): count for key, count in counts if isinstance(count, int)}


def _worklist(worklist: Mapping[str, Any]) -> Iterator[Metric]:
    if entries := _numbers(worklist.get("entries")):
        yield _gauge("penumbra_worklist_entries", "Entries by state.", entries, "state")
    if answers := _numbers(worklist.get("hl7")):
        words = "HL7 messages by answer; connections refused, messages cut off."
        yield _counter("penumbra_hl7_messages", words, answers, "answer")
    if "files_rejected" in worklist:
        words = "Files of the worklist's folder that cannot be read."
        rejected = {"": float(worklist["files_rejected"])}
        yield _gauge("penumbra_worklist_files_rejected", words, rejected)


def _sources(sources: Mapping[str, Any]) -> Iterator[Metric]:
    words = "Objects of each source since the start, and those that wait now."
    gauge = Metric("penumbra_source_objects", words, "gauge")
    for name, one in sources.items():
        counts = _numbers(one)
        for state in ("taken", "rejected", "waiting"):
            gauge.add_sample(
                "penumbra_source_objects", {"source": name, "state": state}, counts.get(state, 0)
            )
    yield gauge
    troubled = {name: float(bool(one.get("trouble", ""))) for name, one in sources.items()}
    words = "1 for a source that something is in the way of; `penumbra status` says what."
    yield _gauge("penumbra_source_in_trouble", words, troubled, "source")
    looked = {name: float(one.get("looked_at", 0)) for name, one in sources.items()}
    words = "When a source was last looked through, in seconds since the epoch; 0 for not yet."
    yield _gauge("penumbra_source_looked_timestamp_seconds", words, looked, "source")


def _lakes(lakes: Mapping[str, Any]) -> Iterator[Metric]:
    if not lakes:
        return
    exported = {name: float(one.get("exported_at", 0)) for name, one in lakes.items()}
    words = "When a lake last got something, in seconds since the epoch."
    yield _gauge("penumbra_lake_exported_timestamp_seconds", words, exported, "lake")
    withheld = {name: float(one.get("withheld", 0)) for name, one in lakes.items()}
    words = "Instances that may not leave to a lake."
    yield _gauge("penumbra_lake_withheld_instances", words, withheld, "lake")


def _handshakes(counts: Mapping[str, float]) -> Metric:
    words = "Connections that came to no TLS."
    return _counter("penumbra_tls_handshakes_failed", words, counts, "reason")


def _counter(name: str, words: str, counts: Mapping[str, float], label: str) -> Metric:
    counter = Metric(name, words, "counter")
    for key, count in counts.items():
        counter.add_sample(f"{name}_total", {label: key}, count)
    return counter


def _gauge(name: str, words: str, values: Mapping[str, float], label: str = "") -> Metric:
    gauge = Metric(name, words, "gauge")
    for key, value in values.items():
        gauge.add_sample(name, {label: key} if label else {}, value)
    return gauge
