"""`penumbra pin`, `unpin` and `spool releasable`: what a person keeps, and what may leave."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from config.load import load
from dicom.entity import Arrival, Instance, Location, SeriesKey
from dicom.errors import ConfigFault, DoesNotMatch
from node.commands import pin, spool, unpin
from node.retention import policy_of
from storage.ledger.arrived import Arrived
from storage.ledger.ledger import Ledger
from storage.ledger.schema import instances, series

CONFIG = """
[node]
data_dir = "var"
reserve_mb = 1
[retention]
keep_days = 2
proof_hours = 3
unsent_days = 0
take_at_word = ["pacs"]
"""
STUDY = "1.2"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def ledger(config: Path):
    """A ledger with a settled Series of one Instance that nothing sends."""
    arrival = Arrival("1.2.840", "1.2.3.4", "1.2.840.1", "CT1", "PENUMBRA", "a1", "", 1.0)
    one = Instance(arrival, Location("s", 0, 2_000_000), "d" * 64)
    with closing(Ledger.open(load(config).node.data_dir)) as made:
        made.intake.absorb([Arrived(one, SeriesKey(STUDY, "1.2.3"))], {"s": 10}, 1.0)
        with made.database.write() as db:
            db.execute(update(series).values(open=False, revision=1))
        yield made


def run(command: object, config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "-c", str(config)], catch_exceptions=False)


def releasable(config: Path, *arguments: str) -> dict:
    return json.loads(run(spool.command, config, "releasable", "--json", *arguments).stdout)


@pytest.mark.p2
def test_a_person_keeps_a_study_and_lets_it_go(config, ledger):
    """A pin and a legal hold each keep a study until that very kind is lifted, with a reason."""
    assert releasable(config)["bytes"] == {"leaves": 2_000_000}
    assert run(pin.command, config, STUDY).exit_code == 2, "no reason"
    assert run(pin.command, config, STUDY, "--reason", "teaching").exit_code == 0
    held = run(pin.command, config, STUDY, "--series", "1.2.3", "--legal-hold", "--reason", "case")
    assert held.exit_code == 0
    listed = run(pin.command, config).stdout.splitlines()
    assert [line.split(":")[0] for line in listed] == [STUDY, f"{STUDY} series 1.2.3"]
    assert listed[0].endswith(": teaching")
    found = releasable(config, STUDY)
    assert found["bytes"] == {"on legal hold": 2_000_000}
    assert found["pinned_series"] == 1
    with pytest.raises(DoesNotMatch, match="no legal hold on exactly that"):
        run(unpin.command, config, STUDY, "--legal-hold", "--reason", "closed")
    where = STUDY, "--series", "1.2.3"
    assert run(unpin.command, config, *where, "--legal-hold", "--reason", "x").exit_code == 0
    assert releasable(config)["bytes"] == {"pinned": 2_000_000}
    assert "1 pin lifted" in run(unpin.command, config, STUDY, "--reason", "x").stdout
    assert "MB  leaves" in run(spool.command, config, "releasable", STUDY).stdout


def test_a_pin_that_comes_too_late_says_so(config, ledger):
    """Who pins what has left hears how much, and who can be asked for it."""
    with ledger.database.write() as db:
        db.execute(update(instances).values(released_at=5.0))
    late = run(pin.command, config, STUDY, "--reason", "late")
    assert late.exit_code == 1
    assert "1 objects of it have left the spool before" in late.stderr


def test_the_settings_mean_what_they_say(config):
    """Days and hours of [retention] are seconds in the decision; without it nothing may leave."""
    table = load(config).retention
    policy = policy_of(table)
    assert (policy.keep_s, policy.proof_s, policy.unsent_s) == (2 * 86_400, 3 * 3600, 0)
    assert policy.trusted == {"pacs"}
    assert table.is_on
    config.write_text("[retention]\nprove_again = false\n")
    assert policy_of(load(config).retention).proof_s is None
    assert not load(config).retention.is_on
    config.write_text("[retention]\nkeep_free_mb = 2047\n")
    with pytest.raises(ConfigFault, match=r"at least \[node\] slow_below_mb, which is 2048"):
        load(config)
