"""Readers that never read hold up nobody, and what is damaged is never given."""

import contextlib
import os
import threading
import time
from pathlib import Path

import pytest

from examples.peers.process import wait_until
from node.web import server as server_module
from node.web.dicomweb import archive as archive_module
from node.web.dicomweb import retrieving
from node.web.dicomweb.turns import Turns

MULTIPART = 'multipart/related; type="application/dicom"; transfer-syntax=*'
EXPLICIT, CT = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.2"
STUDY, SERIES = "1.2.999.1", "1.2.999.2"
SIZE = 8 << 20


def element(group, number, vr, value):
    long = vr == b"OW"
    head = group.to_bytes(2, "little") + number.to_bytes(2, "little") + vr
    size = b"\0\0" + len(value).to_bytes(4, "little") if long else len(value).to_bytes(2, "little")
    return head + size + value


def slice_of(uid, number, size=SIZE):
    """A large image, of which each byte says where it is."""

    def text(value):
        return value.encode() + b"\0" * (len(value) % 2)

    pixels = (bytes(range(256)) * (size // 256))[:size]
    return b"".join([
        element(8, 0x16, b"UI", text(CT)), element(8, 0x18, b"UI", text(uid)),
        element(8, 0x60, b"CS", b"CT"), element(0x10, 0x20, b"LO", b"P1"),
        element(0x20, 0xD, b"UI", text(STUDY)), element(0x20, 0xE, b"UI", text(SERIES)),
        element(0x20, 0x13, b"IS", f"{number:04d}".encode()),
        element(0x7FE0, 0x10, b"OW", pixels),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def large(shelf):
    """A series of three large instances; gives their Instances."""
    return [
        shelf.receive(slice_of(f"1.2.999.3.{n}", n), EXPLICIT, CT, f"1.2.999.3.{n}")
        for n in range(3)
    ]


def read(connection):
    """Read to the end; give how much came."""
    count = 0
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(1 << 20):
            count += len(piece)
    return count


def busy(shelf):
    """Count the connections with an answer on its way."""
    connections = list(shelf.server._server.server_state.connections)
    return sum(bool(one.cycle and not one.cycle.response_complete) for one in connections)


def anonymous_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def test_fifty_that_never_read(shelf, large, monkeypatch):
    """Fifty clients that never read lose their connections; memory stays, and others are served."""
    monkeypatch.setattr(server_module, "WRITE_S", 1.0)
    before = anonymous_kb()
    url = f"/studies/{STUDY}"
    with contextlib.ExitStack() as held:
        silent = [held.enter_context(shelf.ask(url, MULTIPART)) for _ in range(50)]
        started = time.monotonic()
        assert shelf.get(f"{url}/metadata").status_code == 200
        assert time.monotonic() - started < 4
        assert anonymous_kb() - before < 200_000
        wait_until(lambda: not busy(shelf), 15, "the end of those that do not read")
        assert max(map(read, silent)) < 3 * SIZE
    assert len(shelf.get(url, MULTIPART).content) > 3 * SIZE


def test_who_comes_when_all_turns_are_taken_hears_so(shelf, large):
    """With every turn taken, the next is asked to come again (503, Retry-After); then it may."""
    turns = Turns(most=1, patience_s=0.05)
    routes = shelf.server._app.router.routes
    real = retrieving.Turns
    retrieving.Turns = lambda: turns
    try:
        again = retrieving.wado_routes(
            _tokens(shelf), shelf.originals, shelf.transcoding, shelf.index
        )
    finally:
        retrieving.Turns = real
    kept, routes[:] = list(routes), again
    try:
        with shelf.ask(f"/studies/{STUDY}", MULTIPART) as silent:
            wait_until(turns._whole.locked, 5, "the turn being taken")
            refused = shelf.get(f"/studies/{STUDY}", MULTIPART)
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert shelf.get(f"/studies/{STUDY}/metadata").status_code == 200
            silent.close()
        wait_until(lambda: not turns._whole.locked(), 5, "the turn being free again")
        assert shelf.get(f"/studies/{STUDY}", MULTIPART).status_code == 200
    finally:
        routes[:] = kept


def test_pictures_that_take_long_hold_up_pictures_alone(shelf, hold, monkeypatch):
    """While many wait for the darkroom, objects, frames and metadata come as always."""
    held, go_on, waiting = hold("ct"), threading.Event(), threading.Semaphore(0)

    def slow(*_arguments):
        waiting.release()
        go_on.wait(20)
        return b"picture"

    monkeypatch.setattr(shelf.darkroom, "ask", slow)
    with contextlib.ExitStack() as held_open:
        asking = [
            held_open.enter_context(shelf.ask(f"{held.url}/rendered", "image/png"))
            for _ in range(12)
        ]
        try:
            assert all(waiting.acquire(timeout=10) for _ in range(6))
            for path in ("", "/metadata", "/frames/1"):
                assert shelf.http.get(held.url + path, timeout=5).status_code == 200
        finally:
            go_on.set()
        assert all(one.recv(100).startswith(b"HTTP/1.1 200") for one in asking)


def _tokens(shelf):
    from config.api import Token
    from node.web.tokens import Tokens, digest_of

    secret = shelf.http.headers["authorization"].partition(" ")[2]
    token = Token.model_validate({"digest": digest_of(secret), "may": ["retrieve"]})
    return Tokens({"viewer": token})


def damage(shelf, instance):
    """Change one byte of an object on disk."""
    (path,) = shelf.spool.root.rglob(f"*{instance.location.segment}*")
    with path.open("r+b") as file:
        file.seek(instance.location.offset + instance.location.length // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def test_a_damaged_object_is_never_given(shelf, large):
    """No resource gives a byte of an object whose bytes have changed; others of its series come."""
    fresh = [
        shelf.receive(slice_of(f"1.2.999.4.{n}", n + 10, 1 << 20), EXPLICIT, CT, f"1.2.999.4.{n}")
        for n in range(2)
    ]
    damage(shelf, fresh[0])
    url = f"/studies/{STUDY}/series/{SERIES}/instances/1.2.999.4.0"
    for path, accept in [("", "application/dicom"), ("", MULTIPART), ("/frames/1", "*/*"),
                         ("/bulkdata/7FE00010", "*/*"), ("/rendered", "*/*")]:  # fmt: skip
        answer = shelf.get(url + path, accept)
        assert answer.status_code == 500, path
        assert answer.json()["code"] == "corrupt"
    rest = shelf.get(f"/studies/{STUDY}", MULTIPART)
    assert rest.status_code == 206
    assert "1 of 5" in rest.headers["warning"]
    assert len(rest.content) > 3 * SIZE + (1 << 20)
    assert shelf.get(f"{url}/metadata").status_code == 200


def test_damage_that_is_met_on_the_way_breaks_the_answer_off(shelf, large):
    """An answer in which an object turns out to be damaged ends short, which its reader notices."""
    import httpx

    instance = shelf.receive(slice_of("1.2.999.5", 99, 1 << 20), EXPLICIT, CT, "1.2.999.5")
    damage(shelf, instance)
    with pytest.raises(httpx.RemoteProtocolError):
        shelf.get(f"/studies/{STUDY}", MULTIPART)
    again = shelf.get(f"/studies/{STUDY}", MULTIPART)
    assert again.status_code == 206


def test_a_piece_is_a_megabyte_or_two():
    """Small pieces are joined and large ones passed on; nothing is lost, in their order."""
    pieces = [bytes([n]) * size for n, size in enumerate([10, 70_000, 5, 5, 3 << 20, 0, 1])]
    batches = list(archive_module.batched(iter(pieces)))
    assert b"".join(b"".join(batch) for batch in batches) == b"".join(pieces)
    assert all(sum(map(len, batch)) < 5 << 20 for batch in batches)
    assert len(batches) == 2
