"""The pool's own state, with endpoints that do as they are told: no server is needed for it."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from ai import cache, connections, group, member
from ai.breaker import Breaker, State
from ai.contract import Served, Tensor
from ai.endpoint import Reply
from ai.pool import Servers
from ai.trouble import Trouble, Troubled
from config.models import Model
from config.shapes import Secret
from dicom.errors import ConfigFault

SERVED = Served("m", "1", "s", (Tensor("x", "FP32", (1,)),), (Tensor("y", "FP32", (1,)),), {})


class Told:
    """An endpoint that answers its number when it may."""

    def __init__(self, address: str, number: float = 0.0) -> None:
        self.address = address
        self.answer = Reply({"y": np.array([number], np.float32)})
        self.fault: Troubled | None = None
        self.may_answer, self.may_describe = asyncio.Event(), asyncio.Event()
        self.may_answer.set()
        self.may_describe.set()
        self.asked = 0
        self.described = 0

    async def describe(self, model, version):
        self.described += 1
        await self.may_describe.wait()
        if self.fault is not None:
            raise self.fault
        return SERVED

    async def infer(self, call):
        self.asked += 1
        await self.may_answer.wait()
        return self.answer

    async def close(self):
        return None


@pytest.fixture
def told(monkeypatch):
    """Endpoints by their addresses, in place of connections."""
    found: dict[str, Told] = {}

    def connect(key):
        return found.setdefault(key.address, Told(key.address, float(len(found))))

    monkeypatch.setattr(connections, "connect", connect)
    return found


def settings(*endpoints, **keys):
    return Model(endpoints=endpoints, model="m", **keys)


def given(_):
    return {"x": np.zeros(1, np.float32)}


def test_a_trial_is_waited_for_by_those_who_have_nobody_else(told):
    """While one request finds out whether an endpoint is well, the others ask nobody, and wait."""

    async def both():
        servers, table = Servers(), settings("a:1")
        await servers.describe(table)
        servers._group(table).members[0]._breaker = Breaker(State.OPEN, 3)
        told["a:1"].may_answer.clear()
        tasks = [asyncio.create_task(servers.infer(table, given)) for _ in range(3)]
        for _ in range(10):
            await asyncio.sleep(0)
        asked = told["a:1"].asked
        told["a:1"].may_answer.set()
        await asyncio.gather(*tasks)
        return asked

    assert asyncio.run(both()) == 1
    assert (told["a:1"].asked, told["a:1"].described) == (3, 1)


def test_an_endpoint_in_doubt_is_not_waited_for(told, monkeypatch):
    """Who did not answer last time costs the next Series no time, even if the loop stood still."""
    monkeypatch.setattr(group, "GRACE_S", 60)
    monkeypatch.setattr(member, "STOOD_STILL_S", -1)

    async def asked():
        servers, table = Servers(), settings("a:1", "b:1")
        servers._group(table)
        told["b:1"].fault = Troubled("b:1 is away", Trouble.AWAY)
        await servers.describe(table)
        told["b:1"].may_describe.clear()
        described = servers._group(table).describe("", 0)
        await asyncio.wait_for(described, 5)
        await servers.close()

    asyncio.run(asked())


@pytest.mark.parametrize("in_files", [False, True])
def test_kept_answers_are_of_the_same_servers(told, tmp_path, in_files):
    """Another server's model of the same name may be another: its answers are kept apart."""

    async def asked():
        servers = Servers(tmp_path if in_files else None)
        tables = [settings(*ends, cache_mb=1) for ends in (("a:1",), ("b:1",), ("a:1",))]
        return [await servers.infer(table, given) for table in tables]

    answers = asyncio.run(asked())
    assert [one.arrays["y"].item() for one in answers] == [0, 1, 0]
    assert [one.is_cached for one in answers] == [False, False, True]
    assert cache.folder_of("m", ("a", "b")) == cache.folder_of("m", ("b", "a"))


def test_a_mistake_of_ours_is_not_taken_for_a_server_that_is_away(told, monkeypatch):
    """What is no Fault comes out where it can be seen, with where it happened."""
    monkeypatch.setattr(Told, "describe", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(Servers().infer(settings("a:1"), given))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "http://127.0.0.1:9"])
@pytest.mark.parametrize("secret", [b"open\nsesame", b"open\x01sesame", "öffne dich".encode()])
def test_a_secret_that_is_no_header_is_never_said(tmp_path: Path, address, secret):
    """A token of several lines is told by its setting, before a library repeats its value."""
    (tmp_path / "token").write_bytes(secret)
    (tmp_path / "token").chmod(0o600)
    table = settings(address, token=Secret(file=tmp_path / "token"))
    with pytest.raises(ConfigFault, match="one line of printable ASCII") as fault:
        asyncio.run(Servers().describe(table))
    assert "sesame" not in str(fault.value)
