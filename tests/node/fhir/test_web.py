"""ImagingStudy over HTTP: for whoever may, with versions, and faults as OperationOutcome."""

import httpx
import pytest
from starlette.applications import Starlette

from config.api import Token
from dicom.errors import SpoolFull
from node.web.fhir import fhir_routes
from node.web.server import Server
from node.web.tokens import Tokens, digest_of

SECRET = "pnb_" + "s" * 43
OTHER = "pnb_" + "o" * 43


@pytest.fixture(scope="module")
def served(desk, make_entry):
    """A desk behind a real port, and the port's URL."""
    made = desk(
        make_entry(1, PatientID="A", StudyDate="20260101"),
        make_entry(2, StudyInstanceUID="1.5", SeriesInstanceUID="1.5.1"),
    )
    tokens = Tokens({
        "reader": Token(digest=digest_of(SECRET), may=("fhir",)),
        "other": Token(digest=digest_of(OTHER), may=("query",)),
    })  # fmt: skip
    server = Server.on_port(Starlette(routes=fhir_routes(tokens, made)), "127.0.0.1", 0)
    server.start()
    yield made, f"http://127.0.0.1:{server.port}/fhir"
    server.stop()


@pytest.fixture
def ask(served, valid):
    """Ask as somebody; every answer that says anything is FHIR."""

    def get(path, token=SECRET, **headers):
        headers = {"Authorization": f"Bearer {token}", **headers} if token else headers
        answer = httpx.get(served[1] + path, headers=headers)
        if answer.content:
            assert answer.headers["content-type"] == "application/fhir+json"
            valid(answer.json())
        return answer

    return get


def test_a_study_is_read_with_its_version(ask):
    """An ETag says which version it is; who has that one is told no more."""
    answer = ask("/ImagingStudy/1.2")
    assert (answer.status_code, answer.json()["id"]) == (200, "1.2")
    assert answer.headers["etag"] == f'W/"{answer.json()["meta"]["versionId"]}"'
    assert answer.headers["cache-control"] == "no-store"
    again = ask("/ImagingStudy/1.2", **{"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert ask("/ImagingStudy/1.2", **{"If-None-Match": 'W/"9.9"'}).status_code == 200


def test_a_search_is_paged_by_links(ask, served):
    """Following the links gives every Study once; they lead back to this port."""
    url, seen = served[1] + "/ImagingStudy?_count=1", []
    while url:
        assert url.startswith(served[1])
        told = ask(url.removeprefix(served[1])).json()
        seen += [one["resource"]["id"] for one in told["entry"]]
        url = next((one["url"] for one in told["link"] if one["relation"] == "next"), "")
    assert seen == ["1.2", "1.5"]
    found = ask("/ImagingStudy?patient.identifier=A&started=ge2026-01-01&modality=CT").json()
    assert found["total"] == 1
    here = found["entry"][0]["resource"]["contained"][0]["address"]
    assert here == served[1].replace("/fhir", "/dicom-web")


@pytest.mark.p6
def test_a_search_can_be_posted(served, valid):
    """What identifies a patient need not stand in a URL; bad forms are refused."""
    url, headers = served[1] + "/ImagingStudy/_search", {"Authorization": f"Bearer {SECRET}"}
    answer = httpx.post(url, data={"patient.identifier": "A"}, headers=headers)
    assert valid(answer.json())["total"] == 1
    for content, kind, status in [
        (b"{}", "application/json", 415),
        (b"_id=" + b"1" * 9000, "application/x-www-form-urlencoded", 413),
        (b"patient=\xff", "application/x-www-form-urlencoded", 400),
    ]:
        answer = httpx.post(url, content=content, headers={**headers, "Content-Type": kind})
        assert answer.status_code == status
        valid(answer.json())


def test_what_can_be_asked_is_told(ask):
    """The CapabilityStatement names resource, parameters and version; any token may read it."""
    told = ask("/metadata", OTHER).json()
    assert told["fhirVersion"] == "4.0.1"
    names = {one["name"] for one in told["rest"][0]["resource"][0]["searchParam"]}
    assert {"identifier", "patient", "started", "modality", "_lastUpdated"} <= names


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        ("/ImagingStudy/1.2", None, 401, "login"),
        ("/ImagingStudy/1.2", "pnb_wrong", 401, "login"),
        ("/ImagingStudy/1.2", OTHER, 403, "forbidden"),
        ("/ImagingStudy", OTHER, 403, "forbidden"),
        ("/ImagingStudy/9.9", SECRET, 404, "not-found"),
        ("/ImagingStudy/x-" + "0" * 40, SECRET, 404, "not-found"),
        ("/ImagingStudy/%2e%2e%2fetc", SECRET, 404, "not-found"),
        ("/Patient/1", SECRET, 404, "not-found"),
        ("/ImagingStudy?patient=Patient/1", SECRET, 400, "invalid"),
        ("/ImagingStudy?started=today", SECRET, 400, "invalid"),
        ("/ImagingStudy?_format=xml", SECRET, 406, "not-supported"),
        ("/ImagingStudy?_id=" + "1" * 9000, SECRET, 414, "processing"),
    ],
)  # fmt: skip
def test_every_fault_is_an_outcome(ask, path, token, status, code):
    """Who may not, what is not there and what cannot be asked: FHIR's own answer to each."""
    answer = ask(path, token)
    assert answer.status_code == status
    assert answer.json()["issue"][0]["code"] == code
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_is_changed_here(served, valid, method):
    """FHIR is for reading: whoever would change something is told so in FHIR."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    for path in ("/ImagingStudy", "/ImagingStudy/1.2"):
        answer = httpx.request(method, served[1] + path, headers=headers)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
        assert valid(answer.json())["issue"][0]["code"] == "not-supported"


@pytest.mark.p6
def test_a_fault_names_no_value(ask):
    """What somebody asked for is not repeated."""
    for path in ("/ImagingStudy?started=Quillobert", "/ImagingStudy?Quillobert=1"):
        assert "Quillobert" not in ask(path).text


def test_an_index_that_fails_is_told(ask, served, monkeypatch):
    """A fault of the disk is an OperationOutcome to be tried again, and a bug one without words."""

    def full(*_):
        raise SpoolFull("no room")

    monkeypatch.setattr(type(served[0]), "study", full)
    answer = ask("/ImagingStudy/1.2")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (503, "transient")
    monkeypatch.setattr(type(served[0]), "study", lambda *_: 1 / 0)
    assert ask("/ImagingStudy/1.2").status_code == 500


def test_nothing_is_served_without_tokens(served):
    """A node without [tokens] has no /fhir."""
    assert fhir_routes(Tokens({}), served[0]) == []
