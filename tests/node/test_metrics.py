"""The metrics: OpenMetrics text that a real parser reads, without patients or strangers in it."""

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from dicom.errors import StorageFault
from node.admission import AssociationFacts, AssociationRequest, Cause, Reject, Result, Source
from node.conversation import Ending, Outcome
from node.metrics import CONTENT_TYPE, Metrics
from node.negotiation import Negotiated, Refusal, RefusedContext
from node.watermarks import DiskState

FACTS = {
    "node": {"running": True, "uptime_s": 12.5, "associations": 2, "trouble": ""},
    "received": {"instances": 7, "series": 3, "studies": 2, "open_series": 1},
    "jobs": {"waiting": 1, "running": 0, "done": 5, "held": 2, "dropped": 0},
    "receipts": {"instances": 6},
    "spool": {"bytes": 1000, "segments": 1, "free_bytes": 5000},
    "index": {"instances": 7, "lag_records": 0},
    "events": {"last_id": 9, "unpublished": 4},
}


def _samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def _value(metrics: Metrics, name: str, **labels: str) -> float:
    return _samples(metrics)[name, tuple(sorted(labels.items()))]


def _association(calling_ae: str) -> AssociationFacts:
    return AssociationFacts("a1", calling_ae, "PENUMBRA", "10.0.0.1", 0.0)


def test_associations_and_objects_are_counted_by_peer():
    """A configured peer's associations, objects, bytes and endings are counted under its title."""
    metrics, one = Metrics(["CT1"]), _association("CT1")
    metrics.on_opened(one)
    for status, size_bytes in ((0, 100), (0, 50), (0xA700, 70)):
        metrics.on_stored(one, status, size_bytes)
    metrics.on_closed(one, Ending(Outcome.RELEASED, "", {0: 2}, 150, 0.02))
    assert _value(metrics, "penumbra_associations_total", peer="CT1") == 1
    assert _value(metrics, "penumbra_objects_total", peer="CT1", status="0x0000") == 2
    assert _value(metrics, "penumbra_objects_total", peer="CT1", status="0xA700") == 1
    assert _value(metrics, "penumbra_received_bytes_total", peer="CT1") == 150
    assert (
        _value(metrics, "penumbra_associations_closed_total", peer="CT1", outcome="released") == 1
    )
    assert _value(metrics, "penumbra_association_seconds_sum", peer="CT1") == 0.02


@pytest.mark.p6
def test_strangers_are_not_labels():
    """A title that is no configured peer is counted as "unknown": labels stay few and ours."""
    metrics = Metrics(["CT1"])
    for title in ("DOE^JANE", "X" * 16, "CT2"):
        metrics.on_opened(_association(title))
        metrics.on_rejected(
            AssociationRequest(title, "PENUMBRA", "10.0.0.1", 0),
            Reject(Result.PERMANENT, Source.SERVICE_USER, 3, title, "", Cause.UNKNOWN_CALLER),
        )
        refused = (RefusedContext(title, Refusal.UNKNOWN_CLASS, ""),)
        metrics.on_negotiated(_association(title), Negotiated(0, refused))
        metrics.on_failed_handshake("10.0.0.1", title)
    text = metrics.render().decode()
    assert "DOE" not in text
    assert "10.0.0.1" not in text
    assert _value(metrics, "penumbra_associations_total", peer="unknown") == 3
    refused_contexts = "penumbra_contexts_refused_total"
    reason = "SOP class not supported"
    assert _value(metrics, refused_contexts, peer="unknown", reason=reason) == 3


@pytest.mark.parametrize("cause", Cause)
def test_rejections_are_counted_by_cause(cause):
    """Each cause that admission knows is a label, so that two with one PS3.8 reason differ."""
    metrics = Metrics([])
    metrics.on_rejected(
        AssociationRequest("X", "Y", "", 0),
        Reject(Result.PERMANENT, Source.SERVICE_USER, 3, "", "", cause),
    )
    assert _value(metrics, "penumbra_associations_rejected_total", reason=str(cause)) == 1


@pytest.mark.parametrize("why", Refusal)
def test_refused_contexts_are_counted_by_reason(why):
    """Each refused context of a peer is counted under its title and the reason."""
    metrics = Metrics(["CT1"])
    refused = (RefusedContext("1.2.3", why, ""), RefusedContext("1.2.4", why, ""))
    metrics.on_negotiated(_association("CT1"), Negotiated(1, refused))
    assert _value(metrics, "penumbra_contexts_refused_total", peer="CT1", reason=str(why)) == 2


@pytest.mark.parametrize("state", DiskState)
def test_the_state_of_the_disk_is_a_gauge(state):
    """Of the four states of the disk, the one it is in is 1, and the pause is in seconds."""
    metrics = Metrics([])
    metrics.read_from(lambda: {"disk": {"state": state.word, "pause_s": 0.125}})
    found = {each: _value(metrics, "penumbra_disk_state", state=each.word) for each in DiskState}
    assert found == {each: float(each is state) for each in DiskState}
    assert _value(metrics, "penumbra_store_pause_seconds") == 0.125


@pytest.mark.p3
def test_gauges_are_read_when_scraped():
    """Gauges are the node's facts at the moment of the scrape, held jobs among them."""
    metrics, facts = Metrics([]), {name: dict(section) for name, section in FACTS.items()}
    metrics.read_from(lambda: facts)
    assert _value(metrics, "penumbra_jobs", state="held") == 2
    facts["jobs"]["held"] = 3
    assert _value(metrics, "penumbra_jobs", state="held") == 3
    assert _value(metrics, "penumbra_spool_free_bytes") == 5000
    assert _value(metrics, "penumbra_events_unpublished") == 4
    assert _value(metrics, "penumbra_index_lag_records") == 0
    assert _value(metrics, "penumbra_facts_readable") == 1


def test_a_ledger_that_fails_is_a_number_too():
    """When the facts cannot be read, counters are still served and one gauge says so."""

    def fail() -> dict[str, dict[str, object]]:
        raise StorageFault("the disk is gone")

    metrics = Metrics(["CT1"])
    metrics.on_opened(_association("CT1"))
    metrics.read_from(fail)
    assert _value(metrics, "penumbra_facts_readable") == 0
    assert _value(metrics, "penumbra_associations_total", peer="CT1") == 1


def test_every_name_is_ours():
    """Every metric begins with penumbra_, the process's own among them; two nodes share nothing."""
    one, other = Metrics(["CT1"]), Metrics(["CT1"])
    one.read_from(lambda: FACTS)
    one.on_opened(_association("CT1"))
    names = {name for name, _ in _samples(one)}
    assert all(name.startswith("penumbra_") for name in names)
    assert "penumbra_process_resident_memory_bytes" in names
    assert ("penumbra_associations_total", (("peer", "CT1"),)) not in _samples(other)
    assert CONTENT_TYPE.startswith("application/openmetrics-text")


@pytest.mark.p3
@pytest.mark.p4
def test_the_quarantined_are_a_gauge_by_reason():
    """Objects that may not leave are counted by the code of the fault, and nothing else."""
    metrics = Metrics([])
    metrics.read_from(lambda: {"quarantined": {"not-clean": 2, "invalid": 1}})
    assert _value(metrics, "penumbra_quarantined_objects", reason="not-clean") == 2
    assert _value(metrics, "penumbra_quarantined_objects", reason="invalid") == 1


def test_rules_that_fail_are_counted_by_their_name():
    """A rule of which nobody can say is a number to alarm on, and so is a peer that is mute."""
    metrics = Metrics([])
    facts = {"rules_failed": {"chest": 3}, "asked": {"answered": 5, "failed": 2}}
    metrics.read_from(lambda: facts)
    assert _value(metrics, "penumbra_rules_failed_total", rule="chest") == 3
    assert _value(metrics, "penumbra_counts_asked_total", outcome="failed") == 2
