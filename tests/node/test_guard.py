"""Who may ask over HTTP: a token as Bearer or Basic, never for another site's page."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from config.api import ApiPermission, Token
from config.load import load
from dicom.errors import SpoolFull
from node.commands.token import PERMISSIONS
from node.web.guard import guarded
from node.web.origins import allow_origins
from node.web.server import Server
from node.web.tokens import FAILURES, WINDOW_S, Tokens, digest_of

SECRET = "pnb_" + "s" * 43
OTHER = "pnb_" + "o" * 43
FRIEND = "https://viewer.example.org"
RECORD: list[tuple[str, dict[str, object]]] = []


async def answer(request, caller):
    """Say who asks."""
    if "fault" in request.query_params:
        raise SpoolFull("no room")
    return JSONResponse({"name": caller.name}, headers={"Cache-Control": "private"})


def record(name, used):
    """Put a use on record, or fail at it."""
    if used["method"] == "POST":
        raise SpoolFull("no room")
    RECORD.append((name, dict(used)))


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """Serve two routes: one for whoever may query, one for any token."""
    known = Tokens(
        {
            "viewer": Token(digest=digest_of(SECRET), may=("query",)),
            "other": Token(digest=digest_of(OTHER)),
        },
        origins=[FRIEND],
    )
    asked = guarded(known, "query", answer, record)
    app = Starlette(
        routes=[
            Route("/asked/{name}", asked, methods=["GET", "POST"]),
            Route("/any", guarded(known, None, answer), methods=["GET", "POST"]),
        ]
    )
    allow_origins(app, [FRIEND])
    server = Server.on_port(app, "127.0.0.1", 0)
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture
def client(base) -> Iterator[httpx.Client]:
    """Ask without a token unless a test gives one."""
    with httpx.Client(base_url=base, timeout=5, trust_env=False) as one:
        yield one


def basic(text: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


BEARER = {"Authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    "headers",
    [BEARER, {"Authorization": f"bearer  {SECRET}"}, basic(f"viewer:{SECRET}")],
    ids=["bearer", "in small letters", "basic"],
)
def test_a_token_opens(client, headers):
    """A token as Bearer, or as the password of Basic beside its name, is its user."""
    found = client.get("/asked/1.2", headers=headers)
    assert (found.status_code, found.json()) == (200, {"name": "viewer"})


@pytest.mark.parametrize(
    "headers",
    [
        basic(f"other:{SECRET}"), basic(f":{SECRET}"), basic(SECRET), basic(f"viewer:{SECRET}x"),
        basic("viewer"), {"Authorization": "Basic"}, {"Authorization": "Basic !"},
        {"Authorization": "Basic /////w=="}, {"Authorization": f"Basic {SECRET}"},
        {"Authorization": "Basic " + "A" * 5000},
    ],
)  # fmt: skip
def test_only_the_pair_opens(base, headers):
    """Another's name, no name, no pair, no base64, no UTF-8: 401."""
    found = httpx.get(f"{base}/any", headers=headers, timeout=5, trust_env=False)
    assert found.status_code in {401, 429}


def test_browsers_are_asked_for_a_password(client):
    """Without a token the answer offers Bearer and Basic, a header each, and counts no failure."""
    for _ in range(2 * FAILURES):
        found = client.get("/any")
        assert found.status_code == 401
    challenges = found.headers.get_list("www-authenticate")
    assert [one.split()[0] for one in challenges] == ["Bearer", "Basic"]


def test_the_permission_is_named(client):
    """A token that lacks the permission is told which, and any token has what wants none."""
    headers = basic(f"other:{OTHER}")
    found = client.get("/asked/1.2", headers=headers)
    assert (found.status_code, found.json()["detail"]) == (
        403, '[tokens.other] lacks may = ["query"]',
    )  # fmt: skip
    assert client.get("/any", headers=headers).status_code == 200


PAGES = {
    "a program": ({}, {"GET", "POST"}),
    "the node's own page": ({"Sec-Fetch-Site": "same-origin", "Origin": "SELF"}, {"GET", "POST"}),
    "the address bar": ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, {"GET", "POST"}),
    "a link elsewhere": ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, {"GET"}),
    "an image elsewhere": ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, set()),
    "another port": ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, set()),
    "an old browser's own page": ({"Origin": "SELF"}, {"GET", "POST"}),
    "an old browser elsewhere": ({"Origin": "https://evil.example"}, set()),
    "a page without an origin": ({"Origin": "null"}, set()),
    "a named site": ({"Sec-Fetch-Site": "cross-site", "Origin": FRIEND}, {"GET", "POST"}),
    "nearly a named site": ({"Sec-Fetch-Site": "cross-site", "Origin": FRIEND + ".evil"}, set()),
}


@pytest.mark.parametrize(("headers", "allowed"), PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_sites_pages_are_refused(client, base, headers, allowed, method):
    """A browser sends the password for any page; pages of the node and named ones are heard."""
    sent = {key: base if value == "SELF" else value for key, value in headers.items()}
    found = client.request(method, "/any", headers=basic(f"viewer:{SECRET}") | sent)
    assert found.status_code == (200 if method in allowed else 403)
    assert found.status_code == 200 or found.json()["code"] == "cross-site"


def test_named_sites_may_read(client):
    """A preflight of a named site is answered, and it may read what it needs; others may not."""
    wants = {"Access-Control-Request-Method": "POST",
             "Access-Control-Request-Headers": "authorization"}  # fmt: skip
    found = client.options("/any", headers={"Origin": FRIEND, **wants})
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (200, FRIEND)
    assert "access-control-allow-credentials" not in found.headers
    assert client.options("/any", headers={"Origin": "https://a.b", **wants}).status_code == 400
    read = client.get("/any", headers={**BEARER, "Origin": FRIEND})
    assert read.headers["access-control-allow-origin"] == FRIEND
    assert "Warning" in read.headers["access-control-expose-headers"]


def test_answers_are_kept_from_other_pages_and_caches(client):
    """An answer says that no other page may show it; what the handler says of caches stands."""
    found = client.get("/any", headers=BEARER)
    assert found.headers["cross-origin-resource-policy"] == "same-origin"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["cache-control"] == "private"
    assert client.get("/any?fault=1", headers=BEARER).headers["cache-control"] == "no-store"
    for refused in ({}, BEARER | {"Sec-Fetch-Site": "cross-site"}):
        assert client.get("/any", headers=refused).headers["cache-control"] == "no-store"


@pytest.mark.p6
def test_a_use_is_on_record_without_what_was_asked(client, capsys):
    """The log has the words and UIDs of the path alone, and a record that fails costs nothing."""
    RECORD.clear()
    assert client.get("/asked/DOE^JANE?PatientName=DOE", headers=BEARER).status_code == 200
    assert client.get("/asked/1.2.3?fault=1", headers=BEARER).status_code == 503
    assert client.post("/asked/1.2.3", headers=BEARER).status_code == 200
    used = [(name, one["path"], one["status"]) for name, one in RECORD]
    assert used == [("viewer", "/asked/*", 200), ("viewer", "/asked/1.2.3", 503)]
    told = "".join(capsys.readouterr())
    assert "event not written" in told
    for secret in ("DOE", "JANE", SECRET):
        assert secret not in told


def test_the_command_offers_every_permission():
    """`penumbra token new --may` knows what the config file knows."""
    assert set(PERMISSIONS) == set(get_args(ApiPermission))


def test_the_limit_ends_and_its_memory_is_bounded():
    """Failures are forgotten after the window, and a scan from many addresses takes no memory."""
    now = [0.0]
    known = Tokens({}, lambda: now[0])
    waits = [known.failed("a") for _ in range(FAILURES + 1)]
    assert waits[-2:] == [0.0, WINDOW_S]
    now[0] = WINDOW_S
    assert known.failed("a") == 0.0
    for number in range(5000):
        known.failed(str(number))
    assert len(known._failed) <= 1024


def test_a_new_token_is_random_and_fits_its_digest(tmp_path: Path):
    """`penumbra token new` prints a token, and a table that loads and knows its digest alone."""
    made = [
        subprocess.run(
            [sys.executable, "-m", "node.cli", "token", "new", "viewer", "--may", "links"],
            capture_output=True,
            text=True,
            check=True,
        )
        for _ in range(2)
    ]
    first, second = (each.stdout.strip() for each in made)
    assert first != second
    assert len(first) == 4 + 43
    assert first not in made[0].stderr
    (tmp_path / "node.toml").write_text("[tokens" + made[0].stderr.split("[tokens")[1])
    token = load(tmp_path / "node.toml").tokens["viewer"]
    assert (token.digest, token.may) == (digest_of(first), ("links",))
