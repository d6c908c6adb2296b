"""Tokens of Google's: one for many calls, renewed before they end, and never waited for in vain."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dicom.errors import ModelUnavailable
from examples.peers import google_tokens, predict_server
from examples.peers.process import wait_until

GOOGLE = {"identity": "google"}
NO_KEY = "what-stands-in-a-file-is-not-repeated"


@pytest.fixture
def tokens(monkeypatch, tmp_path) -> Iterator[google_tokens.TokenServer]:
    """A token server, and a service account's key file that says so."""
    with google_tokens.serving() as serving:
        file = serving.write_account(tmp_path / "account.json")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        yield serving


@dataclass
class Vertex:
    """A model that takes the tokens that were given, and which ones it was shown."""

    url: str
    given: list[str]
    borne: list[str] = field(default_factory=list)

    def refuse(self, method, target, headers, body) -> str:
        self.borne.append(headers.get("authorization", "").removeprefix("Bearer "))
        return "" if self.borne[-1] in self.given else "who are you"


@pytest.fixture
def vertex(tokens) -> Iterator[Vertex]:
    with predict_server.serving() as serving:
        shown = Vertex(serving.url, tokens.given)
        serving.refuse = shown.refuse
        yield shown


def test_google_gives_one_token_for_many_calls(ask, ask_at_once, settings, tokens, vertex):
    """Calls at once, and those after them, share a token that the account's own key asked for."""
    ask_at_once(*[settings(vertex.url, **GOOGLE)] * 4)
    ask(vertex.url, **GOOGLE)
    assert vertex.borne == ["ya29.token-1"] * 5
    assert tokens.given == ["ya29.token-1"]


def test_a_token_that_ended_is_not_sent(ask, tokens, vertex):
    """Each call after a token's end waits for the next one."""
    tokens.lives_s = 0
    for _ in range(3):
        ask(vertex.url, **GOOGLE)
    assert vertex.borne == tokens.given[-3:]
    assert len(set(vertex.borne)) == 3


def test_a_token_is_renewed_before_it_ends(ask, tokens, vertex):
    """In its last minutes calls go on with a token, while the next one is asked for beside them."""
    tokens.lives_s = 60
    ask(vertex.url, **GOOGLE)
    tokens.refuses = "unauthorized_client"
    for _ in range(3):
        ask(vertex.url, **GOOGLE)
    tokens.refuses = ""
    old = set(vertex.borne)

    def is_renewed():
        ask(vertex.url, **GOOGLE)
        return vertex.borne[-1] not in old

    wait_until(is_renewed, 10, "a renewed token")


def test_waiting_for_a_token_stops_nobody_else(settings, stops_nobody, tokens, vertex):
    """While a token server is silent, calls to other servers are answered; then its own are."""
    stops_nobody(settings(vertex.url, **GOOGLE), tokens)


def test_a_silent_token_server_costs_no_more_than_the_call_has(ask, tokens, vertex):
    """A call whose token does not come ends with its own time."""
    tokens.lives_s = 0
    ask(vertex.url, **GOOGLE, timeout_s=0.3)
    tokens.may_go_on.clear()
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match="no answer within"):
        ask(vertex.url, **GOOGLE, timeout_s=0.3)
    assert time.monotonic() - began < 2
    assert len(vertex.borne) == 1


def test_a_look_at_the_model_looks_for_credentials(loop, settings, tokens, vertex):
    """Whether there is a token is found out before a job is given out, and waited for in bounds."""
    tokens.refuses = "invalid_grant"
    with pytest.raises(ModelUnavailable, match="invalid_grant"):
        loop.run(loop.servers.describe(settings(vertex.url, **GOOGLE)))
    tokens.may_go_on.clear()
    with pytest.raises(ModelUnavailable, match="no credentials within"):
        loop.run(loop.servers.describe(settings(vertex.url, **GOOGLE, in_flight=2)))
    assert vertex.borne == []


def test_a_token_that_is_not_taken_is_replaced(ask, tokens, vertex):
    """Once a server has refused a token, the next call asks for another."""
    ask(vertex.url, **GOOGLE)
    tokens.given[0] = "revoked"
    with pytest.raises(ModelUnavailable, match="HTTP 403: who are you"):
        ask(vertex.url, **GOOGLE)
    ask(vertex.url, **GOOGLE)
    assert vertex.borne == ["ya29.token-1", "ya29.token-1", "ya29.token-2"]


def of_another_key(tokens, file):
    tokens.write_account(file)
    tokens.key = google_tokens.rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda tokens, file: file.unlink(), "DefaultCredentialsError"),
        (lambda tokens, file: file.write_text(f"{NO_KEY}: "), "DefaultCredentialsError"),
        (lambda tokens, file: file.write_text(
            file.read_text().replace("PRIVATE KEY", "PUBLIC KEY")), r"\w*Error"),
        (lambda tokens, file: setattr(tokens, "refuses", "unauthorized_client"),
         "unauthorized_client"),
        (of_another_key, "invalid_grant"),
        (lambda tokens, file: file.write_text("[]"), r"\w*Error"),
        (lambda tokens, file: file.write_text("null"), r"\w*Error"),
        (lambda tokens, file: file.write_text(
            json.dumps({"type": "external_account", "audience": NO_KEY})), r"\w*Error"),
    ],
)  # fmt: skip
def test_no_token_of_google(ask, vertex, tokens, spoil, why):
    """Whatever is wrong with a key file or an account is named, with what to set and no secret."""
    file = Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"])
    key = json.loads(file.read_text())["private_key"].splitlines()[1]
    spoil(tokens, file)
    words = rf"no Google token \({why}\): set GOOGLE_APPLICATION_CREDENTIALS"
    with pytest.raises(ModelUnavailable, match=words) as caught:
        ask(vertex.url, **GOOGLE, timeout_s=0.5)
    assert key not in str(caught.value)
    assert NO_KEY not in str(caught.value)
    assert vertex.borne == []


def test_google_without_any_credentials(ask, vertex, monkeypatch):
    """A machine that has none says what to set."""
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    with pytest.raises(ModelUnavailable, match=r"no Google token .*service account"):
        ask(vertex.url, **GOOGLE, timeout_s=0.5)
