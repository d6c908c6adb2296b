"""`penumbra status` and /metrics say what waits, for whom, and until when."""

import json
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from dicom.entity import SeriesKey
from dicom.errors import Unreachable
from node.cli import penumbra
from node.metrics import Metrics
from routing.job import Kind, NewJob
from storage.ledger import jobs
from storage.ledger.ledger import Ledger


@pytest.mark.p3
def test_what_waits_is_shown_in_words(tmp_path: Path):
    """A dead target with its reason and its jobs, a rule with its hours; nothing of it is held."""
    config = tmp_path / "node.toml"
    config.write_text('[node]\ndata_dir = "var"\n')
    now = time.time()
    with closing(Ledger.open(tmp_path / "var")) as ledger:
        new = [NewJob(Kind.FORWARD, SeriesKey("1.2", f"1.{n}"), 1, "all", "lake") for n in (1, 2)]
        asleep = NewJob(Kind.FORWARD, SeriesKey("1.2", "1.3"), 1, "n", "pacs", not_before=now + 60)
        with ledger.database.write() as db:
            jobs.insert(db, [*new, asleep], now)
        job = ledger.jobs.claim("w", {Kind.FORWARD}, now, 10)
        assert job
        ledger.jobs.put_back(job, Unreachable("s3://b: does not answer"), now, 0.5)
        facts = ledger.summary()
    said = CliRunner().invoke(penumbra, ["status", "-c", str(config)]).output
    assert "lake does not answer since" in said
    assert "(s3://b: does not answer); 2 jobs wait" in said
    assert "1 job of rule 'n' waits for its hours" in said
    assert "0 jobs" in said
    plain = json.loads(CliRunner().invoke(penumbra, ["status", "--json", "-c", str(config)]).output)
    assert plain["unreachable"]["lake"]["waiting"] == 2
    assert plain["asleep"]["n"]["waiting"] == 1
    metrics = Metrics([])
    metrics.read_from(lambda: facts)
    assert b'penumbra_target_unreachable{target="lake"} 1.0' in metrics.render()
