"""SQL, reports and pages of a running node: over HTTP, by command, and in a browser."""

import base64
import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from pyarrow import parquet

from examples.peers import browser
from examples.peers.node import Node, penumbra, running_node
from examples.peers.process import wait_until
from node.commands.sql import command
from node.web.tokens import digest_of

SECRETS = {name: f"pnb_{name}" for name in ("counter", "doctor", "watcher", "boss")}
REPORT = """-- title: <b>Mine</b> & "yours"
-- words: With <script>alert(1)</script>.
-- role: identified-sql
-- param: name text - Whose "name".
SELECT PatientName, '<img src=x onerror=alert(1)>' AS html FROM study
WHERE PatientName LIKE $name || '%'
"""
TABLES = f"""
[peers.CT1]
may = ["store"]
[destinations.shelf]
kind = "folder"
path = "out"
[[rules]]
name = "all"
send = ["shelf"]
[sql]
reports = "reports"
at_once = 3
[tokens.counter]
digest = "{digest_of(SECRETS["counter"])}"
may = ["sql"]
[tokens.doctor]
digest = "{digest_of(SECRETS["doctor"])}"
may = ["sql", "identified-sql"]
[tokens.watcher]
digest = "{digest_of(SECRETS["watcher"])}"
may = ["status"]
[tokens.boss]
digest = "{digest_of(SECRETS["boss"])}"
may = ["status", "sql", "identified-sql", "events"]
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Iterator[Node]:
    """A node that received a phantom of twelve slices, delivered it, and turned somebody away."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "reports").mkdir()
    (folder / "reports" / "mine.sql").write_text(REPORT)
    (folder / "reports" / "broken.sql").write_text("SELECT 1")
    made = penumbra("phantom", folder / "phantom", "--slices", "12", "--size", "64")
    assert made.returncode == 0, made.stderr
    with running_node(folder, TABLES) as running:
        for title in ("CT1", "STRANGER"):
            penumbra("send", running.address, folder / "phantom", "--aet", title,
                     "--called", "PENUMBRA")  # fmt: skip
        running.wait_for(
            lambda events: any(one.type == "penumbra.series.delivered" for one in events),
            30, "the delivery",
        )  # fmt: skip
        wait_until(lambda: _count(running, "study_revision") == 1, 20, "the account")
        yield running


def _count(node: Node, table: str) -> int:
    return ask(node, "doctor", sql=f"SELECT count(*) FROM {table}").json()["rows"][0][0]


def ask(node: Node, who: str, **body: object) -> httpx.Response:
    """Ask over HTTP with somebody's token."""
    return httpx.post(
        f"http://127.0.0.1:{node.http_port}/api/v1/sql", json=body, timeout=30, trust_env=False,
        headers={"Authorization": f"Bearer {SECRETS[who]}"},
    )  # fmt: skip


def get(node: Node, path: str, who: str | None) -> httpx.Response:
    """Open a page as a browser does."""
    auth = (who, SECRETS[who]) if who else None
    url = f"http://127.0.0.1:{node.http_port}{path}"
    return httpx.get(url, auth=auth, timeout=30, trust_env=False)


def test_the_latency_report_tells_of_a_real_run(node: Node):
    """Each stage that the objects went through has its time, and they add up."""
    told = ask(node, "counter", report="latency", format="lines").text
    rows = {row["stage"]: row for row in map(json.loads, told.splitlines())}
    assert set(rows) == {
        "received to filed", "filed to settled", "settled to begun", "begun to delivered",
        "received to delivered",
    }  # fmt: skip
    assert all(0 <= row["p50_s"] <= row["longest_s"] < 60 for row in rows.values())
    parts = sum(row["longest_s"] for stage, row in rows.items() if stage != "received to delivered")
    assert rows["received to delivered"]["longest_s"] >= parts - 0.01


@pytest.mark.p6
def test_roles_over_http(node: Node):
    """Without "identified-sql" identity is out of reach, with it all is there."""
    for sql in ("SELECT PatientName FROM study", "SELECT * FROM head", "SELECT * FROM pseudonym"):
        answer = ask(node, "counter", sql=sql)
        assert answer.status_code in {400, 403}
        assert answer.json()["code"] in {"cannot-understand", "request"}
    assert ask(node, "counter", report="mine").status_code == 403
    assert ask(node, "watcher", sql="SELECT 1").status_code == 403
    found = ask(node, "doctor", sql="SELECT PatientName, PatientID FROM study").json()["rows"]
    assert len(found) == 1
    assert found[0][0]
    assert ask(node, "doctor", report="mine", params={"name": found[0][0][:2]}).status_code == 200


def test_answers_over_http(node: Node):
    """An answer is a file of its form, with its rows told in the headers."""
    answer = ask(node, "counter", sql="SELECT * FROM instance", format="parquet", max_rows=5)
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert (answer.headers["penumbra-rows"], answer.headers["penumbra-truncated"]) == ("5", "true")
    assert parquet.read_table(io.BytesIO(answer.content)).num_rows == 5
    late = ask(node, "counter", sql="SELECT sum(r) FROM range(1000000000000) t(r)", timeout_s=0.3)
    assert (late.status_code, late.headers["retry-after"]) == (503, "5")
    assert ask(node, "counter", report="none").status_code == 404
    for body in ({}, {"sql": "SELECT 1", "report": "volume"}, {"sql": "", "x": 1}):
        assert ask(node, "counter", **body).status_code == 422


def test_a_reader_who_leaves_ends_the_question(node: Node):
    """Whoever closes the connection frees the turn at once; the next question need not wait."""
    body = {"sql": "SELECT sum(r) FROM range(1000000000000) t(r)", "timeout_s": 25}
    url = f"http://127.0.0.1:{node.http_port}/api/v1/sql"
    headers = {"Authorization": f"Bearer {SECRETS['counter']}"}
    for _ in range(3):  # as many as there are turns
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json=body, headers=headers, trust_env=False, timeout=0.3)
    began_s = time.monotonic()
    wait_until(lambda: ask(node, "counter", sql="SELECT 1").status_code == 200, 20, "a turn")
    assert time.monotonic() - began_s < 15


def test_what_may_be_asked_is_listed(node: Node):
    """A token hears of the tables, columns and reports that it may ask about."""
    url = f"http://127.0.0.1:{node.http_port}/api/v1/sql"

    def offers(who: str) -> dict[str, object]:
        headers = {"Authorization": f"Bearer {SECRETS[who]}"}
        return httpx.get(url, headers=headers, timeout=10, trust_env=False).json()

    counter, doctor = offers("counter"), offers("doctor")
    assert "PatientName" not in counter["tables"]["study"]
    assert "PatientName" in doctor["tables"]["study"]
    assert "mine" not in {one["name"] for one in counter["reports"]}
    assert "mine" in {one["name"] for one in doctor["reports"]}
    assert (counter["faults"], set(doctor["faults"])) == ({}, {"broken.sql"})


@pytest.mark.p6
def test_each_question_is_on_record(node: Node):
    """Who asked, which text by its digest, rows and time are an event and a line; no literal is."""
    ask(node, "doctor", sql="SELECT 'KANARIENVOGEL', $v", params={"v": "ZAUNKOENIG"})
    ask(node, "counter", sql="SELECT PatientName, 'KANARIENVOGEL' FROM study")
    ledger = node.ledger()
    try:
        events = [one for one in ledger.outbox.after(0, 10_000) if one.type == "penumbra.sql.asked"]
    finally:
        ledger.close()
    good, bad = events[-2:]
    assert (good.subject, good.data["rows"], good.data["role"]) == (
        "token doctor", 1, "identified-sql",
    )  # fmt: skip
    assert (bad.subject, bad.data["fault"]) == ("token counter", "cannot-understand")
    assert re.fullmatch("[0-9a-f]{64}", good.data["digest"])
    assert good.data["ms"] >= 0
    everything = node.log.read_text() + str(events)
    assert "KANARIENVOGEL" not in everything
    assert "ZAUNKOENIG" not in everything


def test_the_command_beside_a_node(node: Node, tmp_path: Path):
    """`penumbra sql` lists and runs reports, takes parameters, and writes files of every form."""

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(command, [*map(str, arguments), "-c", str(node.config)])

    listed = run("--list")
    assert "latency  (sql)" in listed.stdout
    assert "mine  (identified-sql, your own)" in listed.stdout
    assert "broken.sql is no report" in listed.stderr
    file = tmp_path / "answer.parquet"
    done = node.run("sql", "--report", "volume", "--format", "parquet", "-o", file)
    assert (done.returncode, done.stdout) == (0, "")
    assert parquet.read_table(file).column("objects").to_pylist() == [12]
    assert file.stat().st_mode & 0o777 == 0o600
    table = run("--report", "associations", "--param", "days=1")
    assert "STRANGER" in table.stdout
    asked = run("SELECT $a AS a", "--param", "a=x", "--format", "csv")
    assert asked.stdout.splitlines() == ["a", "x"]
    wrong = run("--report", "volume", "--param", "days=x")
    assert "days is no int" in str(wrong.exception)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "path", ["/pages", "/pages/", "/pages/reports", "/pages/reports/volume",
             "/pages/reports/volume/file", "/pages/style.css", "/pages/icon.svg"]
)  # fmt: skip
def test_nothing_is_shown_without_a_token(node: Node, path: str):
    """No page and nothing beside it is given to whoever brings no token."""
    answer = get(node, path, None)
    assert answer.status_code in {401, 307}
    assert "Penumbra" not in answer.text


def test_pages_are_for_those_who_may(node: Node):
    """The overview asks for "status", reports for "sql"; own ones for their role."""
    assert get(node, "/pages/", "watcher").status_code == 200
    assert get(node, "/pages/", "counter").status_code == 403
    assert get(node, "/pages/reports", "watcher").status_code == 403
    assert get(node, "/pages/reports/mine", "counter").status_code == 403
    reports = get(node, "/pages/reports", "counter")
    assert "reports/mine" not in reports.text
    assert "Overview" not in reports.text
    policy = reports.headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; script-src 'none'")
    assert get(node, "/pages/reports/none", "counter").status_code == 404
    saved = get(node, "/pages/reports/volume/file?form=csv&days=1", "counter")
    assert saved.text.splitlines()[0].startswith("hour,Modality,objects")


@pytest.mark.p6
def test_whatever_a_report_holds_is_text(node: Node):
    """Names, parameters and values are escaped, wherever they stand in a page."""
    name = "\"><script>alert('x')</script>"
    page = get(node, f"/pages/reports/mine?name={name}", "doctor").text
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    page = get(node, "/pages/reports/mine", "doctor").text
    assert "<img" not in page
    assert "&lt;b&gt;Mine&lt;/b&gt; &amp; &quot;yours&quot;" in page
    assert "&lt;img src=x" in page


@pytest.mark.skipif(browser.binary() is None, reason="Debian package chromium")
def test_the_pages_in_a_browser(node: Node, tmp_path: Path):
    """Chromium shows overview and reports, draws them, and has nothing to complain about."""
    base = f"http://127.0.0.1:{node.http_port}/pages"
    pages = {
        f"{base}/": "document.querySelectorAll('.tile').length === 6",
        f"{base}/reports": "document.querySelectorAll('.reports li').length > 8",
        f"{base}/reports/volume": "document.querySelectorAll('svg.wide rect').length === 1",
    }
    with browser.page(tmp_path / "chromium", ("boss", SECRETS["boss"])) as shown:
        for number, (url, ready) in enumerate(pages.items()):
            shown.open(url)
            shown.wait_for(f"document.readyState === 'complete' && {ready}", 30)
            picture = shown.picture(tmp_path / f"{number}.png")
            colours = Image.open(io.BytesIO(picture)).convert("RGB").getcolors(1 << 24)
            assert len(colours) > 50, url
            ruled = shown.evaluate("getComputedStyle(document.body).margin")
            assert ruled == "0px", "the style sheet is not in force"
        assert (shown.refused, shown.said) == ([], [])
        assert all(url.startswith(base) for url in shown.asked)


def test_another_sites_page_cannot_run_reports(node: Node):
    """A page of another site cannot have a browser ask, though the browser knows the password."""
    token = base64.b64encode(f"boss:{SECRETS['boss']}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Sec-Fetch-Site": "cross-site",
               "Sec-Fetch-Mode": "no-cors"}  # fmt: skip
    url = f"http://127.0.0.1:{node.http_port}/pages/reports/volume"
    answer = httpx.get(url, headers=headers, timeout=10, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-site")
