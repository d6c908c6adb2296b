"""The commands check, status, sql and events: beside a running node, and without one."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from config.load import load
from deid.pseudonym import new_key
from dicom.errors import CannotUnderstand, ConfigFault, StorageFault
from node.commands import check, events, sql, status
from node.control_client import SOCKET_NAME
from node.web.control import control_app
from node.web.server import Server
from storage.index.database import Index
from storage.ledger.events import NewEvent
from storage.ledger.ledger import Ledger

CONFIG = """
[node]
data_dir = "var"
[peers.CT1]
may = ["store"]
[destinations.out]
kind = "folder"
path = "out"
[profiles.research]
key = { file = "research.key" }
[[rules]]
name = "all"
profile = "research"
send = ["out"]
"""
NODE = {"running": True, "ae_title": "PENUMBRA", "version": "0", "pid": 7, "uptime_s": 93_784.0}

Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    key = tmp_path / "research.key"
    key.write_bytes(new_key())
    key.chmod(0o600)
    file = tmp_path / "node.toml"
    file.write_text(CONFIG)
    return file


@pytest.fixture
def run(config: Path) -> Run:
    """Run a command with the config file; what it raises is raised."""

    def invoke(module: object, *arguments: str) -> Result:
        command = module.command
        return CliRunner().invoke(command, [*arguments, "-c", str(config)], catch_exceptions=False)

    return invoke


@pytest.fixture
def ledger(config: Path) -> Iterator[Ledger]:
    """A ledger in which three events stand."""
    made = Ledger.open(load(config).node.data_dir)
    made.outbox.record([NewEvent("penumbra.x", f"1.2.{n}", {"n": n}) for n in range(3)], 1.5)
    yield made
    made.close()


@pytest.fixture
def serving(config: Path, ledger: Ledger) -> Iterator[Index]:
    """A control socket with the real ledger and index behind it."""
    data_dir = load(config).node.data_dir
    index = Index.open(data_dir / "index.duckdb")
    app = control_app(
        status=lambda: {"node": NODE, **ledger.summary()},
        sql=index.sql,
        events=lambda after, limit: [asdict(each) for each in ledger.outbox.after(after, limit)],
    )
    server = Server.on_socket(app, data_dir / SOCKET_NAME)
    server.start()
    yield index
    server.stop()
    index.close()


def test_check_tells_in_one_line_what_a_sound_file_sets_up(run, config):
    """A sound file gives one line and exit status 0."""
    result = run(check)
    assert result.exit_code == 0
    assert result.output == (
        f"{config} is sound: PENUMBRA on 0.0.0.0:11112, 1 peer, 1 destination, 1 profile, "
        "0 models, 1 rule, no events\n"
    )


def test_check_says_when_text_in_pixels_cannot_be_read(run, config, monkeypatch):
    """A profile that cleans pixels needs OCR: without it, check says so and what to install."""
    config.write_text(CONFIG.replace("[[rules]]", 'options = ["clean-pixel-data"]\n[[rules]]'))
    monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", None)
    with pytest.raises(ConfigFault, match=r"profiles.research: clean-pixel-data: .*pip install"):
        run(check)


@pytest.mark.parametrize(
    ("keys", "package"),
    [
        ('identity = "aws"\nregion = "eu-central-1"', "botocore"),
        ('identity = "google"', "google.auth"),
    ],
)
def test_check_says_when_an_identity_needs_an_extra(run, config, monkeypatch, keys, package):
    """A model of a cloud's wants its extra: with it the file is sound, without it check says so."""
    config.write_text(f'{CONFIG}[models.m]\nendpoints = ["https://host/x"]\nmodel = "m"\n{keys}\n')
    assert run(check).exit_code == 0
    monkeypatch.setitem(sys.modules, package, None)
    words = r'models.m.identity: .*pip install "penumbra-node\[(aws|google)\]"'
    with pytest.raises(ConfigFault, match=words):
        run(check)


def test_check_says_when_nobody_may_send(config):
    """A file without a peer that may store is sound, and the line says what is missing."""
    config.write_text("[node]\nport = 104")
    assert check.summary(load(config)).endswith("nobody may send to it yet")
    with config.open("a") as file:
        file.write('\n[sources.box]\nkind = "folder"\npath = "box"\n')
    assert check.summary(load(config)).endswith("1 source, no events")


def test_check_ends_with_78_and_every_fault(config):
    """As a command, check prints a line per fault, each with its path, and exits with 78."""
    config.write_text(CONFIG + 'infer = ["m"]\n[http]\nprot = 1\n')
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", "check", "-c", config],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert [line.split(": ")[0] for line in done.stderr.splitlines()] == [
        "http.prot", "rules[0].infer[0]", "rules[0].results_to",
    ]  # fmt: skip
    assert not done.stdout


def test_check_compiles_profiles(run, config):
    """A key that is none, and an exception that nobody could carry out, are told before a run."""
    (config.parent / "research.key").write_text("password123")
    more = 'exceptions = [{ tag = "PixelData", action = "empty", reason = "why not" }]\nkey = {'
    config.write_text(CONFIG.replace("key = {", more))
    with pytest.raises(ConfigFault) as caught:
        run(check)
    assert [path for path, _ in caught.value.problems] == [
        "profiles.research.exceptions[0]", "profiles.research.key",
    ]  # fmt: skip
    assert "password123" not in str(caught.value)


@pytest.mark.usefixtures("serving")
def test_status_of_a_running_node(run):
    """Status shows what the node itself says."""
    told = json.loads(run(status, "--json").output)
    assert told["node"] == NODE
    assert told["events"] == {"last_id": 3, "unpublished": 3}
    shown = run(status).output
    assert "PENUMBRA 0, up 1 d 2 h, pid 7" in shown
    assert "3 not published" in shown


@pytest.mark.usefixtures("ledger")
def test_status_without_a_node_counts_in_the_ledger(run):
    """Without a node status says so, and counts what the ledger holds."""
    told = json.loads(run(status, "--json").output)
    assert told["node"]["running"] is False
    assert told["events"]["last_id"] == 3
    assert told["jobs"]["held"] == 0
    shown = run(status).output
    assert "PENUMBRA is not running" in shown
    assert "0 instances, 0 series, 0 studies" in shown


def test_status_of_a_node_that_never_ran(run, config):
    """Asking about a node that never ran makes no file and is no failure."""
    assert "is not running" in run(status).output
    assert not (config.parent / "var").exists()


WORDS = [
    ({"jobs": {"held": 2}}, "held", "2 jobs: penumbra held"),
    ({"jobs": {"held": 0, "done": 4}}, "jobs", "0 waiting, 0 running, 4 done, 0 dropped"),
    ({"received": {"instances": 1, "series": 1, "studies": 1, "open_series": 1}}, "received",
     "1 instance, 1 series, 1 study; 1 series not complete yet"),
    ({"spool": {"bytes": 12_300_000, "segments": 2, "free_bytes": 2.5e12}}, "spool",
     "12.3 MB in 2 segments, 2.5 TB free"),
    ({"spool": {"bytes": 999, "segments": 1, "free_bytes": 1000}}, "spool",
     "999 bytes in 1 segments, 1.0 kB free"),
    ({"index": {"instances": 5, "lag_records": 3}}, "index", "5 instances, 3 behind"),
    ({"receipts": {"instances": 5}}, "proven", "5 instances at destinations"),
]  # fmt: skip


@pytest.mark.parametrize(("facts", "name", "words"), WORDS)
def test_each_fact_has_its_words(facts, name, words):
    """Each fact is said in words for people."""
    assert dict(status.lines({"node": NODE, **facts}))[name] == words


CSV = 'n,d,t\r\n42,2026-01-02,"a,b"\r\n,2026-01-02,[red]x[/red]\r\n'
JSON = """{"n": 42, "d": "2026-01-02", "t": "a,b"}
{"n": null, "d": "2026-01-02", "t": "[red]x[/red]"}
"""


@pytest.mark.parametrize("running", [True, False])
def test_sql_answers_with_and_without_a_node(request, run, config, running):
    """The same question gets the same answer from a running node and from its file."""
    if running:
        request.getfixturevalue("serving")
    else:
        Index.open(load(config).node.data_dir / "index.duckdb").close()
    question = (
        "SELECT * FROM (VALUES (42, DATE '2026-01-02', 'a,b'),"
        " (NULL, DATE '2026-01-02', '[red]x[/red]')) AS t(n, d, t)"
    )
    assert run(sql, question, "--format", "csv").stdout_bytes.decode() == CSV
    assert run(sql, question, "--format", "json").stdout_bytes.decode() == JSON


@pytest.mark.usefixtures("serving")
def test_sql_shows_a_table_in_full(run):
    """Off a terminal nothing is cut off, and markup in a value is a value."""
    shown = run(sql, f"SELECT '{'x' * 300}' AS wide, '[red]x[/red]' AS mark").output
    assert "x" * 300 in shown
    assert "[red]x[/red]" in shown


@pytest.mark.usefixtures("serving")
def test_sql_says_when_there_is_more(run):
    """Rows beyond --max-rows are not printed, and a line on standard error says so."""
    result = run(sql, "SELECT * FROM range(9)", "--max-rows", "2", "--format", "csv")
    assert result.stdout_bytes == b"range\r\n0\r\n1\r\n"
    assert "--max-rows" in result.stderr


@pytest.mark.usefixtures("serving")
def test_sql_that_makes_no_sense_is_a_fault(run):
    """The database's own words about the question come back from a running node."""
    with pytest.raises(CannotUnderstand, match="nosuch"):
        run(sql, "SELECT nosuch FROM series")


def test_sql_without_an_index_is_a_fault(run, config):
    """Where no node ever ran there is nothing to ask, and no file is made by asking."""
    with pytest.raises(StorageFault, match="has the node run yet"):
        run(sql, "SELECT 1")
    assert not (config.parent / "var").exists()


@pytest.mark.parametrize("running", [True, False])
def test_events_are_json_lines(request, run, running):
    """Events come oldest first, after an id where one is given, running or not."""
    request.getfixturevalue("serving" if running else "ledger")
    lines = [json.loads(line) for line in run(events).output.splitlines()]
    assert [line["id"] for line in lines] == [1, 2, 3]
    assert lines[0] == {
        "id": 1, "type": "penumbra.x", "subject": "1.2.0", "data": {"n": 0}, "at": 1.5,
    }  # fmt: skip
    assert json.loads(run(events, "--after", "2").output)["id"] == 3


def test_events_of_a_node_that_never_ran_are_none(run, config):
    """No ledger, no events, and no ledger made by asking."""
    assert run(events).output == ""
    assert not (config.parent / "var").exists()


@pytest.mark.usefixtures("serving")
def test_events_are_followed(config, ledger):
    """With --follow an event is told as soon as it happens."""
    follow = events.events(load(config), 0, follow=True)
    assert [next(follow)["id"] for _ in range(3)] == [1, 2, 3]
    late = threading.Timer(0.2, ledger.outbox.record, [[NewEvent("penumbra.y", "", {})], 2.0])
    late.start()
    assert next(follow)["type"] == "penumbra.y"
    late.join()
