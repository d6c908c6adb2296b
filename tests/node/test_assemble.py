"""The parts are connected as each of them needs it."""

from pathlib import Path

import pytest

from config.model import Settings
from node.assemble import assemble
from node.run import stop
from storage.ledger.arriving import ReadingHere
from storage.spool.reader import SpoolReader


def test_reading_shows_that_filing_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While the process that reads is waited for, it is filing that is seen to live."""
    readings = ReadingHere(SpoolReader(tmp_path / "var" / "spool"))
    monkeypatch.setattr("node.assemble.ReadingProcess", lambda *_: readings)
    node = {"host": "127.0.0.1", "port": 0, "data_dir": tmp_path / "var", "reserve_mb": 0}
    front = assemble(Settings.model_validate({"node": node}), tmp_path / "node.toml")
    try:
        front.filing.beat_at = 0.0
        vars(readings)["beat"]()
        assert front.filing.beat_at > 0.0
    finally:
        stop(front)
