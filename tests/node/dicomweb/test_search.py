"""QIDO-RS over an index of its own: order, pages, and results as DICOM JSON."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydicom.dataset import Dataset
from starlette.requests import Request

from dicom import native_xml
from dicom.attributes import Level
from dicom.entity import Arrival, Instance, Location
from dicom.web_query import parse
from node.web.dicomweb import qido
from node.web.dicomweb.qido import Search
from node.web.dicomweb.results import writer
from node.web.dicomweb.service import service_url
from node.web.guard import Caller
from storage.index.database import Index

STUDIES = 30


def entry(number: int) -> tuple[Instance, dict[str, str]]:
    """Make an object as the spool gives it; dates and times repeat, and some are missing."""
    uid = f"1.2.{number}"
    arrival = Arrival("1.2.840.10008.5.1.4.1.1.2", f"{uid}.1.1", "1.2.840.10008.1.2.1", "SCANNER",
                      "PENUMBRA", "a1", "127.0.0.1", 1.0)  # fmt: skip
    texts = {
        "StudyInstanceUID": uid, "SeriesInstanceUID": f"{uid}.1", "SOPInstanceUID": f"{uid}.1.1",
        "PatientID": f"P{number % 3}", "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "StudyDate": f"2026010{number % 4 + 1}" if number % 5 else "",
        "StudyTime": "101112.5" if number % 2 else "", "Modality": "CT",
        "SeriesNumber": str(number % 12) if number % 7 else "", "ImageType": "ORIGINAL\\PRIMARY",
    }  # fmt: skip
    return Instance(arrival, Location("s", number, 1), f"{number:064x}"), texts


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """Thirty Studies of one object each."""
    one = Index.open(tmp_path_factory.mktemp("index") / "index.duckdb")
    one.add([entry(number) for number in range(STUDIES)], {})
    yield one
    one.close()


def search(
    index: Index,
    level: Level,
    query: str,
    released: Any = lambda _level, _uids, _studies: (),
    **path: str,
) -> list[dict[str, Any]]:
    """Ask as a request would."""
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": query.encode(),
             "headers": [(b"host", b"node:8080")], "path_params": path, "scheme": "http",
             "server": ("127.0.0.1", 8080)}  # fmt: skip
    caller = Caller("viewer", frozenset({"query"}))
    answer = asyncio.run(Search(index, released).of(level)(Request(scope), caller))
    found: list[dict[str, Any]] = json.loads(bytes(answer.body))
    return found


@pytest.mark.parametrize("few", [0, 1000], ids=["in SQL", "afterwards"])
@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_pages_are_parts_of_one_order(index, level, few, monkeypatch):
    """Pages put together are the whole, in the same order, whoever put it in order."""
    monkeypatch.setattr(qido, "FEW", 1000 - few)
    whole = search(index, level, "")
    monkeypatch.setattr(qido, "FEW", few)
    assert search(index, level, "") == whole
    assert len(whole) == STUDIES
    pages = [search(index, level, f"limit=7&offset={start}") for start in range(0, 35, 7)]
    assert [one for page in pages for one in page] == whole


def test_the_newest_come_first(index):
    """Studies come by date and time, newest first, those without a date last."""
    found = [Dataset.from_json(one) for one in search(index, Level.STUDY, "PatientID=P1")]
    dates = [(one.StudyDate or "", one.StudyTime or "") for one in found]
    assert dates == sorted(dates, reverse=True)
    assert dates[-1][0] == ""


def test_results_are_dicom_json(index):
    """Results read as DICOM JSON in ascending tags: names in groups, numbers as such, URLs."""
    (one,) = search(index, Level.IMAGE, "includefield=all", StudyInstanceUID="1.2.4")
    assert list(one) == sorted(one)
    assert one["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert one["00080008"]["Value"] == ["ORIGINAL", "PRIMARY"]
    assert one["00200011"]["Value"] == [4]
    url = "http://node:8080/dicom-web/studies/1.2.4/series/1.2.4.1/instances/1.2.4.1.1"
    assert one["00081190"]["Value"] == [url]
    assert one["00080056"]["Value"] == ["ONLINE"]
    told = Dataset.from_json(one)
    assert str(told.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    text = native_xml.write(one).decode()
    assert (
        "<Ideographic><FamilyName>山田</FamilyName><GivenName>太郎</GivenName></Ideographic>"
        in text
    )


@pytest.mark.parametrize("level", [Level.STUDY, Level.SERIES, Level.IMAGE])
def test_what_has_left_the_spool_is_nearline(index, level):
    """InstanceAvailability tells of each match whether all of it lies in the spool."""
    own = {Level.STUDY: "1.2.4", Level.SERIES: "1.2.4.1", Level.IMAGE: "1.2.4.1.1"}[level]

    def released(asked, uids, studies):
        assert (asked, own in uids, len(studies)) == (level, True, 10)
        return {own}

    tag = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}[level]
    found = search(index, level, "PatientID=P1", released)
    told = {one[tag]["Value"][0]: one["00080056"]["Value"][0] for one in found}
    assert told.pop(own) == "NEARLINE"
    assert set(told.values()) == {"ONLINE"}


def test_results_have_a_size(index, monkeypatch):
    """Of results that are too long together, those behind come with another offset."""
    whole = search(index, Level.STUDY, "")
    monkeypatch.setattr(qido, "MOST_TEXT", 2000)
    some = search(index, Level.STUDY, "")
    assert 1 < len(some) < len(whole)
    assert some + search(index, Level.STUDY, f"offset={len(some)}")[:1] == whole[: len(some) + 1]


def test_heads_are_read_a_few_at_a_time(index, monkeypatch):
    """Each Instance is told from its own head, of which few are in memory at once."""
    sizes = []

    def heads(which):
        found = index.instances(which)
        sizes.append(len(found))
        for one in found:
            uid = one.instance.arrival.sop_instance_uid
            yield one, {"00180060": {"vr": "DS", "Value": [uid]}, "00189999": {"vr": "LO"}}

    monkeypatch.setattr(index, "heads", heads)
    monkeypatch.setattr(qido, "_HEADS", 7)
    found = search(index, Level.IMAGE, "includefield=KVP")
    assert sizes == [7, 7, 7, 7, 2]
    assert all(one["00180060"]["Value"] == one["00080018"]["Value"] for one in found)
    assert not any("00189999" in one for one in found)


def test_a_limit_of_nothing(index):
    """limit=0 finds nothing."""
    assert search(index, Level.STUDY, "limit=0") == []


def test_every_value_is_written_so_that_it_can_be_read(index):
    """Quotes, controls, backslashes and odd numbers in values do not break the JSON."""
    asked = parse(Level.IMAGE, {}, [("includefield", "all")]).query
    write = writer(replace(asked), "http://x")
    for odd in ('"', "\\", "\x00\x1f", "\u2028", "1\\2", "007", "1e5", "=", "^", "\\\\", "x" * 100):
        row = [odd if one.vr != "SQ" else "" for one in asked.returning]
        assert json.loads(write(row))


HOSTS = {
    "as it is": ({"host": "node:8080"}, False, "http://node:8080"),
    "without a port": ({"host": "node"}, False, "http://node:9000"),
    "a hostile one": ({"host": "a/b@c"}, False, "http://10.0.0.1:9000"),
    "none": ({}, False, "http://10.0.0.1:9000"),
    "IPv6": ({"host": "[::1]:80"}, False, "http://[::1]:80"),
    "a proxy": ({"host": "pacs.example"}, True, "https://pacs.example"),
    "a plain proxy": ({"host": "pacs", "x-forwarded-proto": "http"}, True, "http://pacs"),
    "no proxy": ({"host": "pacs:1", "x-forwarded-proto": "https"}, False, "http://pacs:1"),
}


@pytest.mark.parametrize(("headers", "behind_proxy", "url"), HOSTS.values(), ids=HOSTS)
def test_the_url_is_the_one_that_the_client_called(headers, behind_proxy, url):
    """URLs in answers are made of the Host that the client named, and of a proxy's word."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw,
             "scheme": "http", "server": ("10.0.0.1", 9000)}  # fmt: skip
    assert service_url(Request(scope), behind_proxy=behind_proxy) == f"{url}/dicom-web"
