"""Requests that AWS can verify: signed by credentials that botocore finds and renews."""

import asyncio
import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from ai.pool import Servers
from dicom.errors import ModelUnavailable
from examples.peers import predict_server, sigv4
from examples.peers.in_thread import answering
from examples.peers.predict_server import Images

SECRET = "wJalrXUtnFEMI/K7MDENG+not-a-real-one"
ACCOUNT = sigv4.Account("AKIDHOSPITAL", SECRET)
AWS = {"identity": "aws", "region": ACCOUNT.region}


@dataclass
class Verified:
    """What a server of AWS's kind does with each request: verifies, and keeps it."""

    account: sigv4.Account = ACCOUNT
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def __call__(self, *request) -> str:
        self.seen.append(request)
        return sigv4.fault(self.account, *request, now=time.time())


@pytest.fixture
def sagemaker() -> Iterator[predict_server.PredictServer]:
    with predict_server.serving() as serving:
        serving.url = serving.url.replace("/v1/mean:predict", "/endpoints/mean/invocations")
        serving.refuse = Verified()
        yield serving


def by_environment(patch, folder, account):
    patch.setenv("AWS_ACCESS_KEY_ID", account.key)
    patch.setenv("AWS_SECRET_ACCESS_KEY", account.secret)
    if account.session:
        patch.setenv("AWS_SESSION_TOKEN", account.session)


def by_profile(patch, folder, account):
    patch.setenv("AWS_PROFILE", "penumbra")
    (folder / "credentials").write_text(
        f"[penumbra]\naws_access_key_id = {account.key}\naws_secret_access_key = {account.secret}\n"
    )


@pytest.fixture
def give(monkeypatch, tmp_path):
    """Put an account's credentials where botocore finds them."""
    return lambda account, how=by_environment: how(monkeypatch, tmp_path, account)


def test_the_verifier_agrees_with_aws():
    """The signature that AWS publishes for its example is right, and no other request fits it."""
    example = sigv4.Account(
        "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "iam"
    )
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": "iam.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/"
        "aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature="
        "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }
    target, now = "/?Action=ListUsers&Version=2010-05-08", 1440938160.0
    assert sigv4.fault(example, "GET", target, headers, b"", now=now) == ""
    assert "does not match" in sigv4.fault(example, "GET", target + "1", headers, b"", now=now)
    assert "expired" in sigv4.fault(example, "GET", target, headers, b"", now=now + 901)


@pytest.mark.parametrize("how", [by_environment, by_profile])
@pytest.mark.parametrize("path", ["", "/a%20b/c"])
def test_aws_knows_a_signed_request(ask, give, sagemaker, how, path):
    """Credentials from environment or profile sign each call so that an outsider can verify it."""
    give(ACCOUNT, how)
    ask(sagemaker.url + path, **AWS)


def test_a_signature_is_for_one_request_alone(ask, give, sagemaker, tmp_path):
    """Another body, path, method, type or x-amz header under the same signature is refused."""
    account = replace(ACCOUNT, session="session-token-of-an-hour")
    give(account)
    sagemaker.refuse.account = account
    (tmp_path / "variant").write_text("blue")
    (tmp_path / "variant").chmod(0o600)
    variant = {"x-amzn-sagemaker-target-variant": {"file": tmp_path / "variant"}}
    ask(sagemaker.url, **AWS, headers=variant)
    (method, target, headers, body) = sagemaker.refuse.seen[0]

    def fault(method=method, target=target, body=body, **changed):
        return sigv4.fault(account, method, target, headers | changed, body, now=time.time())

    assert fault() == ""
    assert "does not match" in fault(body=body + b" ")
    assert "does not match" in fault(target=target.replace("mean", "other"))
    assert "does not match" in fault(method="PUT")
    assert "does not match" in fault(**{"content-type": "text/plain"})
    assert "does not match" in fault(**{"x-amzn-sagemaker-target-variant": "green"})


@pytest.mark.parametrize(
    "asked",
    [
        {"account": replace(ACCOUNT, secret="another")},
        {"keys": AWS | {"region": "us-east-1"}},
        {"keys": {}},
    ],
)
def test_what_aws_does_not_take_says_so(ask, give, sagemaker, asked):
    """A wrong secret, a wrong region, or no signature: the server's words and what to check."""
    give(asked.get("account", ACCOUNT))
    with pytest.raises(ModelUnavailable, match=r"HTTP 403: \w.*; check the token or id") as caught:
        ask(sagemaker.url, **asked.get("keys", AWS), timeout_s=0.5)
    assert SECRET not in str(caught.value)
    assert sagemaker.asked == []


def test_new_credentials_are_taken_up(ask, give, sagemaker):
    """Once AWS has refused a key, what stands in the profile now is read; nothing is restarted."""
    give(replace(ACCOUNT, secret="yesterday's"), by_profile)
    with pytest.raises(ModelUnavailable, match="HTTP 403"):
        ask(sagemaker.url, **AWS)
    give(ACCOUNT, by_profile)
    with contextlib.suppress(ModelUnavailable):  # the old ones may have been read once more
        ask(sagemaker.url, **AWS)
    ask(sagemaker.url, **AWS)


class Role(http.server.ThreadingHTTPServer):
    """Credentials of a container's role: others each time, that live so long."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), RoleHandler)
        self.account = ACCOUNT
        self.given = 0
        self.lives_s = 60
        self.lacks = ""
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def next(self) -> dict[str, str]:
        self.given += 1
        self.account = sigv4.Account(
            f"ASIA{self.given}", f"secret-{self.given}", session=f"s-{self.given}"
        )
        ends = datetime.now(UTC) + timedelta(seconds=self.lives_s)
        told = {
            "AccessKeyId": self.account.key, "SecretAccessKey": self.account.secret,
            "Token": self.account.session, "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }  # fmt: skip
        return {name: value for name, value in told.items() if name != self.lacks}


class RoleHandler(http.server.BaseHTTPRequestHandler):
    server: Role

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        self.server.may_go_on.wait(30)
        told = json.dumps(self.server.next()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)


@pytest.fixture
def role(monkeypatch, sagemaker) -> Iterator[Role]:
    """A role whose newest credentials alone are taken."""
    server = Role()
    url = f"http://127.0.0.1:{server.server_port}/role"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    sagemaker.refuse = lambda *request: sigv4.fault(server.account, *request, now=time.time())
    with answering(server, server.may_go_on.set):
        yield server


@pytest.mark.parametrize(("lives_s", "given"), [(60, 3), (3600, 1)])
def test_a_roles_credentials_are_renewed(ask, sagemaker, role, lives_s, given):
    """Credentials of a role are fetched anew as they near their end, and are kept until then."""
    role.lives_s = lives_s
    for _ in range(3):
        ask(sagemaker.url, **AWS)
    assert (role.given >= given) if given > 1 else (role.given == given)


@pytest.mark.parametrize(("lives_s", "lacks"), [(-10, ""), (60, "Expiration"), (60, "AccessKeyId")])
def test_a_role_that_gives_nothing_usable(ask, sagemaker, role, lives_s, lacks):
    """A clock that is ahead, or an answer with something missing, is no bug: jobs wait."""
    role.lives_s, role.lacks = lives_s, lacks
    with pytest.raises(ModelUnavailable, match=r"no AWS credentials \(\w+\)") as caught:
        ask(sagemaker.url, **AWS, timeout_s=0.5)
    assert role.account.secret not in str(caught.value)


def test_many_that_wait_for_a_role_hold_up_no_end(settings, sagemaker, role):
    """A worker that is asked to end does so, however many calls a silent role keeps waiting."""
    role.may_go_on.clear()
    its = settings(sagemaker.url, **AWS, timeout_s=0.5)

    async def many() -> list[object]:
        servers = Servers()
        calls = (servers.infer(its, lambda _: Images()) for _ in range(12))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await servers.close()
        return answers

    began = time.monotonic()
    answers = asyncio.run(many())
    assert time.monotonic() - began < 8
    assert {type(each) for each in answers} == {ModelUnavailable}


def test_waiting_for_a_role_stops_nobody_else(ask, settings, stops_nobody, sagemaker, role):
    """While credentials are asked for anew, calls to other servers are answered."""
    ask(sagemaker.url, **AWS)
    stops_nobody(settings(sagemaker.url, **AWS), role)


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "none found"),
        ({"AWS_ACCESS_KEY_ID": SECRET}, "PartialCredentialsError"),
        ({"AWS_PROFILE": SECRET}, "ProfileNotFound"),
    ],
)
def test_no_credentials_of_aws(ask, sagemaker, monkeypatch, environment, why):
    """Without credentials nothing is sent; the words name what to set, and repeat no value."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    words = rf"no AWS credentials \({why}\): set AWS_ACCESS_KEY_ID and"
    with pytest.raises(ModelUnavailable, match=words) as caught:
        ask(sagemaker.url, **AWS, timeout_s=0.5)
    assert SECRET not in str(caught.value)
    assert sagemaker.refuse.seen == []
