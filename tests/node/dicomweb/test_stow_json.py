"""STOW-RS with metadata in DICOM JSON and bulk data apart."""

import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames

from examples.peers.stow import described, image, told
from node.web.dicomweb import json_body


@pytest.mark.p1
def test_metadata_with_bulk_data(client, house):
    """An object that comes as DICOM JSON with its pixels apart is stored as one Part 10 file."""
    pixels = bytes(range(250)) * 4
    content, headers = described(image("1.20"), pixels=pixels)
    answer = client.post("/studies/1.2.3", content=content, headers=headers)
    assert (answer.status_code, told(answer)) == (200, (["1.20"], {}, 0))
    (one,) = house.new()
    with house.reader.open(one.location) as stream:
        found = dcmread(stream)
    assert (found.PatientName, found.PixelData) == ("KANARIENVOGEL^HANS", pixels)


def test_metadata_with_compressed_frames(client, house):
    """Bulk data of an image type becomes fragments, in the transfer syntax that it names."""
    syntax = "1.2.840.10008.1.2.4.70"
    kind = f"image/jpeg; transfer-syntax={syntax}"
    content, headers = described(image("1.21"), pixels=(kind, b"\xff\xd8\xff\xd9!"))
    answer = client.post("/studies", content=content, headers=headers)
    assert answer.status_code == 200
    (one,) = house.new()
    assert one.arrival.transfer_syntax_uid == syntax
    with house.reader.open(one.location) as stream:
        (fragment,) = generate_frames(dcmread(stream).PixelData, number_of_frames=1)
    assert fragment == b"\xff\xd8\xff\xd9!\0"


def test_metadata_that_cannot_be_used(client, house):
    """Bulk data that did not come costs its object alone, broken JSON the request, with words."""
    content, headers = described(image("1.22"), "1.23", other=b"12")
    answer = client.post("/studies", content=content, headers=headers)
    assert (answer.status_code, told(answer)[0]) == (409, [])
    broken = b"\r\n--b\r\nContent-Type: application/dicom+json\r\n\r\n[\r\n--b--"
    answer = client.post("/studies", content=broken, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (400, "the metadata is no JSON")
    alone = client.post("/studies", content=b'[{"00080018": 1}, 7]',
                        headers={"Content-Type": "application/dicom+json"})  # fmt: skip
    assert (alone.status_code, told(alone)) == (409, ([], {}, 2))
    assert house.new() == []


def test_metadata_that_is_too_much(client, house, monkeypatch):
    """Metadata and bulk data have limits, and nothing of a request beyond them is kept."""
    content, headers = described(image("1.24"), pixels=bytes(1000))
    monkeypatch.setattr(json_body, "BULK_BYTES", 999)
    answer = client.post("/studies", content=content, headers=headers)
    assert (answer.status_code, house.new()) == (400, [])
    assert "retry-after" not in answer.headers
    monkeypatch.setattr(json_body, "METADATA_BYTES", 99)
    answer = client.post("/studies", content=content, headers=headers)
    assert (answer.status_code, "the metadata has more" in answer.json()["detail"]) == (400, True)


def test_metadata_of_too_many(client, house, monkeypatch):
    """Metadata tells of so many objects at most; of more, none is stored, with words."""
    monkeypatch.setattr(json_body, "MOST_OBJECTS", 1)
    content, headers = described(image("1.25"), image("1.26"))
    answer = client.post("/studies", content=content, headers=headers)
    assert answer.status_code == 400
    assert "more than 1 objects" in answer.json()["detail"]
    assert house.new() == []


def test_bulk_data_for_which_there_is_no_room(client, house, monkeypatch):
    """Bulk data stops where the disk shall take no more: 0xA700, and when to come back."""
    words = iter(["", *["1 MB is free: make room"] * 9])
    monkeypatch.setattr(house, "trouble", lambda: next(words))
    content, headers = described(image("1.27"), pixels=bytes(1000))
    answer = client.post("/studies", content=content, headers=headers)
    assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
    assert answer.json()["0008119A"]["Value"][0]["00081197"]["Value"] == [0xA700]
    assert house.new() == []
