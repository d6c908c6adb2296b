"""The API over real HTTP: denied by default, told with its permission, on record, described."""

import io
import json
import math
import re
import shutil
import ssl
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from ai.agreement import Agreement
from ai.drift import Drift
from config.api import Token
from config.model import Http
from dicom.errors import CannotUnderstand, Corrupt, DoesNotMatch, SpoolFull, Unreachable
from dicom.worklist import Entry
from examples.peers.certificates import Identity, Pki
from examples.peers.process import wait_until
from node.links import Link
from node.models import Group, Watched
from node.web import asked, tokens
from node.web.api import ENDPOINTS, api_routes
from node.web.asked import MOST_BYTES
from node.web.endpoint import PREFIX, Abilities
from node.web.https import credentials_of
from node.web.openapi import description
from node.web.server import Server
from node.web.sql_door import SqlDoor
from storage.index.questions import Answer
from storage.ledger.models import Decision, Move, Stage, Version
from storage.ledger.worklist import Put

SECRET = "pnb_" + "s" * 43
ALL = ("status", "links", "identified-links", "sources", "events", "worklist", "sql", "models",
       "promote")  # fmt: skip
STEP = {"Modality": "CT", "ScheduledProcedureStepID": "1",
        "ScheduledProcedureStepStartDate": "20261121"}  # fmt: skip
ITEM = {"PatientName": "KANARIENVOGEL", "PatientID": "1", "AccessionNumber": "A1",
        "ScheduledProcedureStepSequence": [STEP]}  # fmt: skip
ENTRY = Entry("1", "rest", ITEM)
BODIES = {
    "/sql": {"sql": "SELECT 1"},
    "/links": {"study": "2.25.1"},
    "/models/{model}/versions/{version}": {"stage": "live", "reason": "agrees"},
    "/models/{model}/rollback": {"reason": "drifted"},
}
VERSION = Version("lungs", "2", "d" * 64, Stage.LIVE, "Lungs", "a file", 1.0, "ada")
MOVE = Move("lungs", "2", "candidate", "live", "agrees", "ada", 2.0)
AGREE = [Agreement("v", 3, 0.5, 0.1, 0.9, 1.0)]
WATCHED = Watched(Group("lungs", "2", "Maker", "Chest"), 30, (Drift("v", 0.5, 1.0, math.nan),))
Client = Callable[..., httpx.Client]


def answer_of(body: bytes) -> Answer:
    return Answer(io.BytesIO(body), len(body), (), 0, truncated=False, seconds=0.0)


class Parts:
    """What the front would do, noted."""

    def __init__(self) -> None:
        self.audited: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[Any] = []
        self.fault: Exception | None = None

    def abilities(self) -> Abilities:
        """Give them to the API."""
        return Abilities(
            lambda: self.do({"node": {"running": True}}, "status"),
            lambda wanted, by: self.do([Link("2.25.3", "https://store/x", 0.0)], wanted, by),
            lambda name, body: self.do(1, name, body),
            lambda after, limit: self.do([], after, limit),
            lambda name, used: self.audited.append((name, dict(used))),
            SimpleNamespace(
                page=lambda *asked: self.do([ENTRY], *asked),
                get=lambda entry_id: self.do(ENTRY, entry_id),
                put=lambda drafts: self.do([Put("1", is_new=True, is_changed=True)], drafts),
                remove=lambda entry_id: self.do(True, entry_id),
            ),
            SqlDoor(
                SimpleNamespace(
                    ask=lambda *asked: self.do(
                        answer_of(b'{"columns": [], "types": [], "rows": [], "truncated": false}'),
                        *asked,
                    ),
                    offers=lambda role: self.do({"tables": {}, "reports": []}, role),
                )
            ),
            SimpleNamespace(
                versions=lambda *asked: self.do([VERSION], *asked),
                moves=lambda *asked: self.do([MOVE], *asked),
                drifts=lambda *asked: self.do([WATCHED], *asked),
                agreements=lambda *asked: self.do({"3": AGREE}, *asked),
                move=lambda *asked: self.do(VERSION, *asked),
                rollback=lambda *asked: self.do(VERSION, *asked),
            ),
        )

    def do(self, result: Any, *asked: Any) -> Any:
        """Note what was asked."""
        self.asked.append(asked)
        if self.fault:
            raise self.fault
        return result


@pytest.fixture
def parts() -> Parts:
    """Parts of a test's own."""
    return Parts()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, list[Starlette]]]:
    """One port for all tests, for a server takes a moment to stop: its address, and its app."""
    apps: list[Starlette] = []

    async def newest(scope: Any, receive: Any, send: Any) -> None:
        await apps[-1](scope, receive, send)

    server = Server.on_port(Starlette(routes=[Mount("/", app=newest)]), "127.0.0.1", 0)
    server.start()
    yield f"http://127.0.0.1:{server.port}", apps
    server.stop()


@pytest.fixture
def client(parts: Parts, served: tuple[str, list[Starlette]]) -> Iterator[Client]:
    """Serve the API to a token with these permissions, and give a client that bears it."""
    base, apps = served
    made: list[httpx.Client] = []

    def start(may: tuple[str, ...] = ALL, secret: str | None = SECRET) -> httpx.Client:
        known = (
            {"viewer": Token(digest=tokens.digest_of(SECRET), may=may)} if may != ("none",) else {}
        )
        apps[:] = [Starlette(routes=api_routes(known, parts.abilities()))]
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        made.append(httpx.Client(base_url=base, headers=headers, timeout=5, trust_env=False))
        return made[-1]

    yield start
    for each in made:
        each.close()


def ask(client: httpx.Client, endpoint: Any) -> httpx.Response:
    named = {"name": "inbox", "id": "1", "model": "lungs", "version": "2"}
    path = PREFIX + endpoint.path.format(**named)
    body = ITEM if "worklist" in path else BODIES.get(endpoint.path, {})
    says = endpoint.method in {"POST", "PUT"}
    return client.request(endpoint.method, path, json=body if says else None)


EACH = [pytest.param(each, id=f"{each.method} {each.path}") for each in ENDPOINTS]


@pytest.mark.parametrize("endpoint", EACH)
def test_nobody_without_a_token(client, parts, endpoint):
    """Without a token each endpoint answers 401 with a problem, and does nothing."""
    answer = ask(client(secret=None), endpoint)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (parts.asked, parts.audited) == ([], [])


@pytest.mark.parametrize("endpoint", EACH)
def test_nobody_without_the_permission(client, parts, endpoint):
    """A token without the permission is answered 403 and told which is missing; it is audited."""
    others = tuple(each for each in ALL if each != endpoint.may)
    answer = ask(client(may=others), endpoint)
    if endpoint.may is None:
        assert answer.status_code == 200
        return
    assert answer.status_code == 403
    assert answer.json()["detail"] == f'[tokens.viewer] lacks may = ["{endpoint.may}"]'
    assert parts.asked == []


@pytest.mark.parametrize("endpoint", EACH)
def test_each_use_is_on_record(client, parts, endpoint, capsys):
    """A use is one log line and one event with the token's name, and the token is in neither."""
    answer = ask(client(may=(endpoint.may,) if endpoint.may else ()), endpoint)
    assert answer.status_code == endpoint.status
    used = {"method": endpoint.method, "path": PREFIX + endpoint.path, "status": endpoint.status}
    assert parts.audited == ([("viewer", used)] if endpoint.is_audited else [])
    told = "".join(capsys.readouterr())
    assert told.count("viewer") == 1
    assert SECRET not in f"{told}{parts.audited}{answer.text}{answer.headers}"


def test_without_tokens_there_is_no_api(client):
    """No [tokens], no routes: 404."""
    assert client(may=("none",)).get(f"{PREFIX}/status").status_code == 404


@pytest.mark.parametrize("header", ["", "Bearer", "Basic x", f"Bearer {SECRET[:-1]}",
                                    f"Bearer {SECRET}x", f"Token {SECRET}", SECRET])  # fmt: skip
def test_only_the_whole_token_opens(client, header):
    """Another scheme, a token that is shorter or longer by a letter: 401."""
    answer = client(secret=None).get(f"{PREFIX}/status", headers={"Authorization": header})
    assert answer.status_code == 401


def test_failures_are_limited_and_the_right_token_is_not(client):
    """After too many wrong tokens an address hears 429 and when to come back; others go on."""
    open_, closed = client(), client(secret="wrong")
    answers = [closed.get(f"{PREFIX}/status") for _ in range(tokens.FAILURES + 2)]
    assert {each.status_code for each in answers[: tokens.FAILURES]} == {401}
    assert answers[-1].status_code == 429
    assert 0 < int(answers[-1].headers["retry-after"]) <= tokens.WINDOW_S
    assert open_.get(f"{PREFIX}/status").status_code == 200


def test_a_decision_bears_the_token_s_name(client, parts):
    """A version is brought to the stage asked for; who and why are on record."""
    said = {"stage": "live", "reason": "agrees"}
    answer = client().put(f"{PREFIX}/models/lungs/versions/2", json=said)
    (model, version, stage, decision), *_ = parts.asked
    assert (model, version, stage) == ("lungs", "2", Stage.LIVE)
    assert decision == Decision("token viewer", "agrees", decision.at)
    assert answer.json()["added_at"] == "1970-01-01T00:00:01Z"


@pytest.mark.parametrize("said", [{"stage": "live"}, {"stage": "best", "reason": "x"},
                                  {"stage": "live", "reason": ""}])  # fmt: skip
def test_no_decision_without_a_stage_and_a_reason(client, parts, said):
    """What lacks one of them is answered 422, and nothing is decided."""
    answer = client().put(f"{PREFIX}/models/lungs/versions/2", json=said)
    assert (answer.status_code, parts.asked) == (422, [])


def test_what_is_known_of_a_model(client, parts):
    """Versions, decisions, drift with its alarm, and agreement; NaN becomes null."""
    answer = client().get(f"{PREFIX}/models/lungs").json()
    assert answer["decisions"][0]["reason"] == "agrees"
    assert (answer["drift"][0]["alarm"], answer["drift"][0]["newer"]) == (True, 30)
    assert answer["drift"][0]["numbers"] == [{"name": "v", "psi": 0.5, "then": 1.0, "now": None}]
    assert answer["agreement"]["3"][0]["bias"] == 0.5


def test_links_say_until_when(client, parts):
    """Links are made for the study that is asked for, in the token's name, and are not cached."""
    answer = client().post(f"{PREFIX}/links", json={"study": "2.25.1", "expires_s": 60})
    wanted, caller = parts.asked[0]
    assert (wanted.study, wanted.expires_s, wanted.destination, caller.name) == (
        "2.25.1", 60, None, "viewer",
    )  # fmt: skip
    assert answer.json() == {"links": [{"sop_instance_uid": "2.25.3", "url": "https://store/x",
                                        "expires_at": "1970-01-01T00:00:00Z"}]}  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"study": "../x"}', b'{"study": "2.25.1", "expires_s": 604801}',
             b'{"study": "2.25.1", "expires_s": 0}', b'{"study": "2.25.1", "extra": 1}'],
)  # fmt: skip
def test_a_question_that_is_none_is_refused(client, parts, body):
    """A body of another shape is answered 422 with what is wrong, and nothing is done."""
    answer = client().post(f"{PREFIX}/links", content=body)
    assert (answer.status_code, answer.json()["status"], parts.asked) == (422, 422, [])


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=1e3", "limit=" + "9" * 19])
def test_a_number_that_is_none_is_refused(client, query):
    """Bad numbers are answered 422."""
    assert client().get(f"{PREFIX}/events?{query}").status_code == 422


def test_a_body_that_is_too_long_is_not_read(client, parts):
    """A body of more than the limit is answered 413."""
    body = b" " * (MOST_BYTES + 1)
    answer = client().post(f"{PREFIX}/sources/inbox/events", content=body)
    assert (answer.status_code, parts.asked) == (413, [])


def test_a_body_that_comes_too_slowly_is_not_waited_for(client, parts, monkeypatch):
    """A body that is not there in time is answered 408."""
    monkeypatch.setattr(asked, "BODY_S", 0.1)
    opened = client()

    def drip() -> Iterator[bytes]:
        yield b"{"
        wait_until(lambda: bool(parts.audited), 10, "the answer")
        yield b"}"

    answer = opened.post(f"{PREFIX}/sources/inbox/events", content=drip())
    assert (answer.status_code, parts.asked) == (408, [])


FAULTS = {
    "unknown": (DoesNotMatch("no store holds it"), 404),
    "again": (Unreachable("the store does not answer"), 503),
    "full": (SpoolFull("no room"), 503),
    "message": (CannotUnderstand("the message is no JSON"), 400),
    "broken": (Corrupt("the ledger is damaged"), 500),
    "bug": (KeyError("KANARIENVOGEL"), 500),
    "bug in a value": (ValueError("KANARIENVOGEL"), 500),
}


@pytest.mark.parametrize(("fault", "status"), FAULTS.values(), ids=FAULTS)
def test_faults_are_problems(client, parts, fault, status, capsys):
    """A Fault becomes a problem with its code; a bug becomes 500 without its words."""
    parts.fault = fault
    answer = client().post(f"{PREFIX}/links", json={"study": "2.25.1"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "KANARIENVOGEL" not in answer.text
    assert ("api failed" in "".join(capsys.readouterr())) == (answer.json()["code"] == "bug")


def test_the_description_knows_each_route():
    """openapi.json has each route with its method and no other, and what it says of it."""
    told = description(ENDPOINTS)
    assert told["openapi"] == "3.1.0"
    served = {
        (route.path, method)
        for route in api_routes({"a": Token(digest=tokens.digest_of("x"))}, Parts().abilities())
        for method in route.methods - {"HEAD"}
    }
    described = {
        (path, method.upper()) for path, methods in told["paths"].items() for method in methods
    }
    assert described == served
    for path, methods in told["paths"].items():
        for operation in methods.values():
            inside = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert inside == set(re.findall(r"{(\w+)}", path))
            assert {"401", "403", "429"} <= set(operation["responses"])


def test_the_description_is_served(client):
    """GET openapi.json gives it as JSON, and every reference in it leads somewhere."""
    told = client().get(f"{PREFIX}/openapi.json").json()
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(told)):
        assert name in told["components"]["schemas"]


def test_answers_have_the_shape_that_is_described(client):
    """Each good answer has the members that its schema requires."""
    opened = client()
    for each in ENDPOINTS:
        answer = ask(opened, each).json()
        assert set(each.result.get("required", ())) <= set(answer)


def test_over_https(parts, tmp_path):
    """With a certificate the port speaks HTTPS, and nothing else; a new one is taken up."""
    pki = Pki(tmp_path)
    mine = Identity(tmp_path / "mine.crt", tmp_path / "mine.key")
    other = pki.authority.issue("renewed")
    copy(pki.node, mine)
    credentials = credentials_of(Http(certificate=mine.certificate, key=mine.key))
    assert credentials is not None
    known = {"viewer": Token(digest=tokens.digest_of(SECRET), may=ALL)}
    server = Server.on_port(
        Starlette(routes=api_routes(known, parts.abilities())), "127.0.0.1", 0, credentials
    )
    server.start()
    try:
        url = f"https://localhost:{server.port}{PREFIX}/status"
        headers = {"Authorization": f"Bearer {SECRET}"}
        trusted = pki.authority.client()
        asked = httpx.get(url, verify=trusted, headers=headers, timeout=5, trust_env=False)
        assert asked.status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{server.port}/", timeout=5, trust_env=False)
        first = ssl.get_server_certificate(("127.0.0.1", server.port))
        copy(other, mine)
        credentials.look(at_once=True)
        second = ssl.get_server_certificate(("127.0.0.1", server.port))
        assert first != second
        assert second.split() == other.certificate.read_text().split()[: len(second.split())]
    finally:
        server.stop()


def copy(new: Identity, old: Identity) -> None:
    """Put a certificate and its key in the place of others."""
    shutil.copy(new.certificate, old.certificate)
    shutil.copy(new.key, old.key)
