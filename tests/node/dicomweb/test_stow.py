"""STOW-RS: what comes whole is on disk before it is answered, and each object has its answer."""

import io
import itertools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom.entity import Origin
from examples.peers.process import wait_until
from examples.peers.stow import EXPLICIT, TYPE, body, image, told
from node.conversation import Outcome
from node.web.dicomweb import body as stow_body
from node.web.dicomweb import stow

DEFLATED = "1.2.840.10008.1.2.1.99"
SECRET = "pnb_" + "s" * 43


@pytest.mark.p1
def test_what_is_answered_is_on_disk_byte_for_byte(client, house):
    """Every object of a request is on disk under its own bytes, as come by the web, and told."""
    files = [image(f"1.2.3.4.{n}") for n in range(3)]
    answer = client.post("/studies", content=body(*files), headers=TYPE)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/dicom+json")
    assert told(answer) == (["1.2.3.4.0", "1.2.3.4.1", "1.2.3.4.2"], {}, 0)
    first = answer.json()["00081199"]["Value"][0]
    url = f"{client.base_url}studies/1.2.3"
    assert first["00081190"]["Value"] == [f"{url}/series/1.2.3.4/instances/1.2.3.4.0"]
    assert answer.json()["00081190"]["Value"] == [url]
    found = sorted(house.new(), key=lambda one: one.arrival.sop_instance_uid)
    for instance, file in zip(found, files, strict=True):
        with house.reader.open(instance.location) as stream:
            stored = stream.read()
        assert stored.endswith(file[file.index(b"\x08\x00\x16\x00") :])
        assert dcmread(io.BytesIO(stored)).PatientName == "KANARIENVOGEL^HANS"
        arrival = instance.arrival
        assert (arrival.origin, arrival.calling_ae, arrival.called_ae, arrival.address) == (
            Origin.WEB, "WARD-7", "PENUMBRA", "127.0.0.1",
        )  # fmt: skip
    ((facts, ending),) = house.endings
    assert house.opened == [facts]
    assert [status for status, size in house.stored if size > 1000] == [0, 0, 0]
    assert {one.arrival.association for one in found} == {facts.id}
    assert (ending.outcome, ending.statuses) == (Outcome.RELEASED, {0: 3})


def test_one_object_alone(client, house):
    """A body of application/dicom is one object."""
    answer = client.post("/studies/1.2.3", content=image("1.5"),
                         headers={"Content-Type": "application/dicom"})  # fmt: skip
    assert (answer.status_code, told(answer)) == (200, (["1.5"], {}, 0))
    assert len(house.new()) == 1


@pytest.mark.parametrize("syntax", [EXPLICIT, "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", DEFLATED])
@pytest.mark.parametrize("description_bytes", [10, 200_000])
def test_each_encoding(client, house, syntax, description_bytes):
    """Objects of each encoding are known by their UIDs, also where these come late."""
    more = {"PurposeOfReferenceCodeSequence": [Dataset() for _ in range(description_bytes // 8)]}
    answer = client.post(
        "/studies/1.2.3", content=body(image("1.5.1", syntax=syntax, **more)), headers=TYPE
    )
    assert (answer.status_code, told(answer)) == (200, (["1.5.1"], {}, 0))
    (one,) = house.new()
    assert one.arrival.transfer_syntax_uid == syntax


BAD = {
    "another study": (image("1.6", "9.9"), "1.6", 0xA900),
    "another class": (image("1.6", SOPClassUID="1.2.840.10008.1.3.10"), "1.6", 0x0122),
    "no instance UID": (image("1.6.5678").replace(b"1.6.5678", b"JOHN DOE"), None, 0x0117),
    "no series": (image("1.6", SeriesInstanceUID=""), "1.6", 0xC000),
    "no DICOM": (b"x" * 5000, None, 0xC000),
    "nothing": (b"", None, 0xC000),
    "cut in its head": (image("1.6")[:400], None, 0xC000),
}


@pytest.mark.parametrize(("bad", "uid", "reason"), BAD.values(), ids=BAD)
def test_one_bad_object_does_not_cost_the_others(client, house, bad, uid, reason):
    """An object that cannot be stored has its reason; those around it are stored: 202."""
    whole = body(image("1.6.1"), bad, image("1.6.2"))
    answer = client.post("/studies/1.2.3", content=whole, headers=TYPE)
    assert answer.status_code == 202
    stored, failed, unnamed = told(answer)
    assert stored == ["1.6.1", "1.6.2"]
    assert (failed, unnamed) == (({uid: reason}, 0) if uid else ({}, 1))
    assert len(house.new()) == 2
    assert house.endings[0][1].statuses == {0: 2, reason: 1}
    assert "JOHN" not in answer.text
    alone = client.post("/studies/1.2.3", content=body(bad), headers=TYPE)
    assert (alone.status_code, told(alone)[0]) == (409, [])


def test_parts_of_other_types_are_told(client, house):
    """A part that is no DICOM object is not stored, and told as a failure."""
    answer = client.post("/studies", content=body(b"{}", kind="application/json"), headers=TYPE)
    assert (answer.status_code, told(answer)) == (409, ([], {}, 1))


def test_room_that_ends_within_a_request(client, house):
    """Objects without room are 0xA700; where none was stored, 503 and when to come back."""
    house.full_after = 1
    files = body(image("1.7.1"), image("1.7.2"))
    answer = client.post("/studies", content=files, headers=TYPE)
    assert (answer.status_code, told(answer)) == (202, (["1.7.1"], {"1.7.2": 0xA700}, 0))
    answer = client.post("/studies", content=files, headers=TYPE)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, str(stow.RETRY_S))
    house.words = "1 MB is free: make room"
    answer = client.post("/studies", content=files, headers=TYPE)
    assert (answer.status_code, answer.json()["detail"]) == (503, house.words)
    assert len(house.new()) == 1


REFUSED = {
    "another type": ({"Content-Type": "application/zip"}, 415),
    "no type": ({}, 415),
    "another root": ({"Content-Type": 'multipart/related; type="text/xml"; boundary=b'}, 415),
    "packed": ({**TYPE, "Content-Encoding": "gzip"}, 415),
    "no boundary": ({"Content-Type": 'multipart/related; type="application/dicom"'}, 400),
    "a long boundary": ({"Content-Type": f"multipart/related; boundary={'x' * 999}"}, 400),
    "another boundary": ({"Content-Type": "multipart/related; boundary=other"}, 400),
}


@pytest.mark.parametrize(("headers", "status"), REFUSED.values(), ids=REFUSED)
def test_bodies_that_are_none(client, house, headers, status):
    """A type that is not read is 415, a broken one 400, with words, and nothing is stored."""
    answer = client.post("/studies", content=body(image("1.8")), headers=headers)
    assert (answer.status_code, bool(answer.json()["detail"])) == (status, True)
    assert house.new() == []


def test_a_body_that_goes_wrong_on_its_way(client, house):
    """From where a body breaks the rules nothing is read on; what was whole before is stored."""
    wrong = b"\r\n--b\r\n: x\r\n\r\n" + body(image("1.8.2"))
    answer = client.post("/studies", content=body(image("1.8.1"), end=False) + wrong, headers=TYPE)
    assert (answer.status_code, told(answer)) == (202, (["1.8.1"], {}, 0))
    assert "a header without a name" in answer.headers["warning"]
    assert len(house.new()) == 1


@pytest.mark.parametrize("content", [b"", b"\r\n--b--\r\n"], ids=["no body", "no parts"])
def test_nothing_to_store(client, house, content):
    """A request without an object is 400."""
    answer = client.post("/studies", content=content, headers=TYPE)
    assert (answer.status_code, house.new()) == (400, [])


def test_too_many_parts(client, house, monkeypatch):
    """Parts are bounded, so that memory is; what came before is stored and told."""
    monkeypatch.setattr(stow_body, "MOST_PARTS", 2)
    files = body(*(image(f"1.8.{n}") for n in range(4)))
    answer = client.post("/studies", content=files, headers=TYPE)
    assert (answer.status_code, told(answer)[0]) == (202, ["1.8.0", "1.8.1"])
    assert "more than 2 parts" in answer.headers["warning"]
    assert len(house.new()) == 2


def test_a_study_that_is_no_uid(client, house):
    """A Study in the URL that cannot be a UID is 400, before anything is read."""
    answer = client.post("/studies/a%20b", content=body(image("1.8")), headers=TYPE)
    assert (answer.status_code, house.new()) == (400, [])


def test_only_who_may_store(served, house):
    """Without the permission nothing is read, and the answer names it."""
    url, headers = f"{served[0]}/dicom-web/studies", {**TYPE, "Authorization": "Bearer pnb_r"}
    answer = httpx.post(url, content=body(image("1.8")), headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["detail"]) == (
        403, '[tokens.reader] lacks may = ["store"]',
    )  # fmt: skip
    assert house.new() == []


@pytest.mark.p1
@given(cut=st.integers(min_value=1))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_body_that_is_cut_keeps_what_came_whole(client, house, cut):
    """Wherever a body ends, what came whole before is stored and told; the rest never shows."""
    files = [image(f"1.9.{n}") for n in range(3)]
    whole = body(*files, end=False)
    content = whole[: cut % len(whole)]
    ends = list(itertools.accumulate(len(body(one, end=False)) for one in files))
    expected = [f"1.9.{n}" for n, end in enumerate(ends) if end + 5 <= len(content)]
    answer = client.post("/studies", content=content, headers=TYPE)
    assert sorted(one.arrival.sop_instance_uid for one in house.new()) == expected
    if expected:
        assert (answer.status_code, told(answer)[0]) == (202, expected)
        assert "the body breaks off" in answer.headers["warning"]
    else:
        assert answer.status_code == 400
    assert house.endings[-1][1].outcome is Outcome.LOST


def connected(served) -> socket.socket:
    """Say that a large body comes, and send one whole object of it."""
    host, port = served[0].removeprefix("http://").split(":")
    sent = body(image("1.10"), image("1.11")[:500], end=False)
    lines = ["POST /dicom-web/studies HTTP/1.1", "Host: x", "Content-Length: 100000",
             f"Content-Type: {TYPE['Content-Type']}", f"Authorization: Bearer {SECRET}",
             ]  # fmt: skip
    opened = socket.create_connection((host, int(port)), 20)
    opened.sendall("\r\n".join([*lines, "", ""]).encode() + sent)
    return opened


def test_a_client_that_goes_away(served, house):
    """When the connection breaks, what came whole stays, and the request counts as lost."""
    connected(served).close()
    wait_until(lambda: bool(house.endings), 20, "the end")
    assert [one.arrival.sop_instance_uid for one in house.new()] == ["1.10"]
    assert (house.endings[0][1].outcome, house.endings[0][1].words) == (
        Outcome.LOST, "the connection broke",
    )  # fmt: skip


@pytest.mark.parametrize("slow", ["CHUNK_S", "SLOWEST_BYTES_S"])
def test_a_client_that_does_not_send(served, house, slow, monkeypatch):
    """Who sends nothing for too long, or drop by drop, is ended; what came whole is answered."""
    monkeypatch.setattr(stow, "CHUNK_S", 0.3)
    if slow == "SLOWEST_BYTES_S":
        monkeypatch.setattr(stow, "SLOWEST_BYTES_S", 1 << 30)
    with connected(served) as opened:
        stop = threading.Event()

        def drip() -> None:
            while slow == "SLOWEST_BYTES_S" and not stop.wait(0.05):
                opened.sendall(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            heard = opened.recv(100_000)
        finally:
            stop.set()
            dripping.join()
    assert heard.startswith(b"HTTP/1.1 202")
    assert b"came too slowly" in heard
    assert [one.arrival.sop_instance_uid for one in house.new()] == ["1.10"]


def test_too_many_at_once_are_asked_to_come_back(served, client, house, monkeypatch):
    """Beyond so many open requests the next hears 503, and the others are not disturbed."""
    monkeypatch.setattr(stow, "AT_ONCE", 1)
    with connected(served):
        wait_until(lambda: bool(house.new()), 20, "the first object")
        answer = client.post("/studies", content=body(image("1.12")), headers=TYPE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, str(stow.RETRY_S))
    wait_until(lambda: bool(house.endings), 20, "the end")
    assert client.post("/studies", content=body(image("1.12")), headers=TYPE).status_code == 200


@pytest.mark.parametrize("asked", ["header", "query"])
def test_answers_in_xml(client, house, asked):
    """Whoever asks for XML, by header or in the query, hears of it in the Native DICOM Model."""
    accept = {"Accept": "application/dicom+xml"} if asked == "header" else {}
    path = "/studies" if accept else "/studies?accept=application/dicom+xml"
    answer = client.post(path, content=body(image("1.13")), headers={**TYPE, **accept})
    assert answer.headers["content-type"] == "application/dicom+xml"
    assert '<DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence">' in answer.text


@pytest.mark.p7
def test_the_same_object_twice(client, house):
    """As at the DICOM door an object that comes again is answered well, and both are in the log."""
    for _ in range(2):
        answer = client.post("/studies", content=body(image("1.14")), headers=TYPE)
        assert answer.status_code == 200
    first, second = house.new()
    assert first.digest == second.digest


def test_memory_stays_flat(client, house):
    """A large object passes through without being held."""
    frames = (bytes(1 << 20) for _ in range(64))
    head = image("1.15")[:-1012]  # without its pixel data
    pixels = b"\xe0\x7f\x10\x00OW\0\0" + (64 << 20).to_bytes(4, "little")
    opened = b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n" + head + pixels

    def sent() -> Iterator[bytes]:
        yield opened
        yield from frames
        yield b"\r\n--b--"

    before_kb = _peak_kb()
    answer = client.post("/studies", content=sent(), headers=TYPE)
    grown_kb = _peak_kb() - before_kb
    (one,) = house.new()  # maps all of it
    assert (answer.status_code, one.location.length > 64 << 20) == (200, True)
    assert grown_kb < 24 << 10


def _peak_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


@pytest.mark.p1
def test_no_object_is_told_before_it_is_on_disk(client, house):
    """Of many objects that are synced side by side each is told in its order, and is there."""
    uids = [f"1.30.{n}" for n in range(20)]
    house.full_after = 15
    answer = client.post("/studies", content=body(*map(image, uids)), headers=TYPE)
    assert (answer.status_code, told(answer)[:2]) == (
        202, (uids[:15], dict.fromkeys(uids[15:], 0xA700)),
    )  # fmt: skip
    assert {one.arrival.sop_instance_uid for one in house.new()} == set(uids[:15])
