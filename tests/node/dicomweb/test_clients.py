"""Real clients at the DICOMweb of a running node: dicomweb-client, Orthanc, OHIF in Chromium."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from examples.peers import browser, orthanc
from examples.peers.node import Node, running_node
from examples.peers.process import wait_until
from node.web.tokens import digest_of

ROOT = Path(__file__).parents[3]
VIEWER = ROOT / ".viewer"
TEXT = (ROOT / "docs" / "dicomweb.md").read_text("utf-8")
COMMANDS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SECRET = "pnb_" + "s" * 43
TOKENS = f"""
[tokens.viewer]
digest = "{digest_of(SECRET)}"
may = ["query", "retrieve", "store"]
[destinations.out]
kind = "folder"
path = "out"
[[rules]]
name = "from the web"
expr = 'origin == "web" && calling_ae == "VIEWER"'
send = ["out"]
"""
CT, MR = (str(get_testdata_file(name)) for name in ("CT_small.dcm", "MR_small.dcm"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that holds two Studies, which came by STOW-RS."""
    directory = tmp_path_factory.mktemp("node")
    if VIEWER.is_dir():
        (directory / "conf.d").mkdir()
        (directory / "conf.d" / "http.toml").write_text(f'[http]\nviewer = "{VIEWER}"\n')
    with running_node(directory, TOKENS) as one:
        for file in (CT, MR):
            headers = {"Content-Type": "application/dicom", **BEARER}
            httpx.post(f"{url(one)}/studies", content=Path(file).read_bytes(), headers=headers,
                       trust_env=False).raise_for_status()  # fmt: skip
        wait_until(lambda: len(asked(one, "studies").json()) == 2, 20, "the index")
        yield one


BEARER = {"Authorization": f"Bearer {SECRET}"}


def url(node: Node) -> str:
    return f"http://127.0.0.1:{node.http_port}/dicom-web"


def asked(node: Node, path: str, **headers: str) -> httpx.Response:
    return httpx.get(f"{url(node)}/{path}", headers={**BEARER, **headers}, timeout=30,
                     trust_env=False)  # fmt: skip


@pytest.fixture
def client(node) -> DICOMwebClient:
    """PyPI's client."""
    session = requests.Session()
    session.trust_env = False
    session.headers.update(BEARER)
    return DICOMwebClient(url(node), session=session)


def test_dicomweb_client_searches(client):
    """Each of its searches finds what is there, with limits, offsets, wildcards and fields."""
    head = dcmread(CT, stop_before_pixels=True)
    study, series = head.StudyInstanceUID, head.SeriesInstanceUID
    found = client.search_for_studies(search_filters={"PatientID": "1CT1"})
    assert [Dataset.from_json(one).StudyInstanceUID for one in found] == [study]
    newest, oldest = client.search_for_studies(), client.search_for_studies(offset=1, limit=1)
    assert (len(newest), newest[1:]) == (2, oldest)
    assert client.search_for_studies(get_remaining=True, limit=1) == newest
    by_name = client.search_for_studies(search_filters={"PatientName": "compressed*^ct?"})
    assert len(by_name) == 1
    (one,) = client.search_for_series(study, fields=["SeriesDescription", "BodyPartExamined"])
    told = Dataset.from_json(one)
    assert (told.Modality, told.SeriesInstanceUID, "BodyPartExamined" in told) == (
        "CT",
        series,
        True,
    )
    (one,) = client.search_for_instances(study, series)
    assert Dataset.from_json(one).Rows == 128
    assert len(client.search_for_instances()) == 2
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []


def test_dicomweb_client_stores(client, node):
    """What it stores is told as stored, and is found within a moment."""
    copy = dcmread(CT)
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    copy.StudyInstanceUID, copy.PatientID = "1.2.3.4", "STORED"
    told = client.store_instances([copy], "1.2.3.4")
    assert told.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.5"
    assert "FailedSOPSequence" not in told
    wait_until(lambda: bool(client.search_for_studies(search_filters={"PatientID": "STORED"})),
               20, "the index")  # fmt: skip


HOSTILE = ("'; DROP TABLE study; --", '" OR 1=1', "%", "_", "a\x00b", "(a+)+$", "*" * 300,
           "\\" * 300, "${jndi:ldap://x}", "<script>", "\u202e", "a" * 20_000)  # fmt: skip


@pytest.mark.parametrize("keyword", ["PatientName", "StudyDescription", "AccessionNumber"])
def test_hostile_strings_are_only_strings(node, keyword):
    """Whatever stands in a value finds nothing, or everything where it is a wildcard; at once."""
    for value in HOSTILE:
        answer = asked(node, str(httpx.URL("studies", params={keyword: value})))
        universal = not value.strip("*\\")
        assert answer.status_code == 200
        assert bool(answer.json()) == universal, value
    assert asked(node, "studies").json()


def test_what_is_refused_names_the_key(node):
    """Bad questions are 400 with the key; an Accept that cannot be met is 406."""
    answer = asked(node, "studies?StudyDate=yesterday")
    assert (answer.status_code, "StudyDate (0008,0020)" in answer.json()["detail"]) == (400, True)
    assert asked(node, "studies?PatientID=%ff").status_code == 400
    assert asked(node, "studies?" + "&".join(f"limit={n}" for n in range(300))).status_code == 400
    assert asked(node, "studies", Accept="image/jpeg").status_code == 406


def test_forms_of_results(node):
    """Results are JSON unless XML is asked for, by header or by parameter; warnings are told."""
    assert asked(node, "studies").headers["content-type"] == "application/dicom+json"
    plain = asked(node, "studies", Accept="application/json, */*;q=0.1")
    assert plain.headers["content-type"] == "application/json"
    accept = 'multipart/related; type="application/dicom+xml"'
    for answer in (asked(node, "studies", Accept=accept),
                   asked(node, str(httpx.URL("studies", params={"accept": accept})))):  # fmt: skip
        assert answer.headers["content-type"].startswith(accept)
        assert answer.text.count("<NativeDicomModel") >= 2
    more = asked(node, "studies?limit=1&Modality=CT").headers.get_list("warning")
    assert [one.split(": ")[1].split(" ")[0] for one in more] == ["These", "There"]
    assert all(one.startswith(f"299 {url(node)}: ") for one in more)


def test_instances_tell_what_only_their_heads_have(node):
    """includefield takes attributes that are not indexed, private ones too, and all of them."""
    head = dcmread(CT, stop_before_pixels=True)
    path = f"studies/{head.StudyInstanceUID}/instances?includefield="

    def told(fields: str) -> dict[str, Any]:
        (one,) = asked(node, path + fields).json()
        return one

    wait_until(lambda: "00180060" in told("KVP"), 20, "the head in the index")
    assert told("KVP,00091002")["00180060"]["Value"] == [120]
    assert told("00091002")["00091002"]["vr"] == "SH"
    whole = told("all")
    assert list(whole) == sorted(whole)
    assert whole["7FE00010"]["BulkDataURI"].startswith(whole["00081190"]["Value"][0])
    assert "00180060" not in told("")


def test_a_plus_in_the_query_is_a_plus(node):
    """A media type in the query is understood as it is written, its + too (PS3.18 8.3.3.1)."""
    answer = asked(node, "studies?accept=application/dicom+json", Accept="image/png")
    assert answer.headers["content-type"] == "application/dicom+json"


def test_requests_to_store_are_counted_and_explained(node):
    """STOW-RS is in the metrics under the token's AE title, and in `penumbra explain`."""
    text = httpx.get(f"http://127.0.0.1:{node.http_port}/metrics", trust_env=False).text
    assert re.search(r'penumbra_objects_total{peer="VIEWER",status="0x0000"} [1-9]', text)
    (line, *_) = node.run("explain", "association", "--from", "VIEWER", "--json").stdout.split("\n")
    one = json.loads(line)
    assert (one["id"][:4], one["outcome"], one["statuses"]) == ("web-", "released", {"0x0000": 1})
    details = node.run("explain", "association", one["id"]).stdout
    assert "objects" in details
    assert "contexts" not in details


def test_rules_route_what_was_stored(node):
    """A Series of STOW-RS settles and goes where a rule on the token's AE title sends it."""
    out = node.config.parent / "out"
    uid = str(dcmread(CT, stop_before_pixels=True).SOPInstanceUID)
    wait_until(
        lambda: any(uid in one.name for one in out.rglob("*")), 20, "the object in the folder"
    )


def test_capabilities(node):
    """GET and OPTIONS on the service tell each resource with what it needs."""
    told = asked(node, "").json()
    resources = {one["path"]: one["methods"] for one in told["resources"]}
    assert resources["/studies"]["GET"]["may"] == "query"
    assert resources["/studies"]["POST"]["may"] == "store"
    instance = "/studies/{StudyInstanceUID}/series/{SeriesInstanceUID}/instances/{SOPInstanceUID}"
    assert resources[instance]["GET"]["may"] == "retrieve"
    assert "image/png" in resources[f"{instance}/rendered"]["GET"]["produces"]
    assert {"metadata", "thumbnail", "frames/{frames}", "bulkdata/{path}"} <= {
        path.removeprefix(f"{instance}/") for path in resources
    }
    answer = httpx.options(url(node), headers=BEARER, trust_env=False)
    assert answer.json() == told


@pytest.mark.p6
def test_the_log_names_no_patient(node):
    """Searches and stores are in the log with keys and counts, and without values."""
    asked(node, "studies?PatientName=CompressedSamples*&PatientID=1CT1")
    keys = '"keys": ["PatientName", "PatientID"]'
    wait_until(lambda: keys in node.log.read_text(), 20, "the line in the log")
    log = node.log.read_text()
    assert '"event": "stow"' in log
    for value in ("CompressedSamples", "1CT1", SECRET):
        assert value not in log


@pytest.mark.skipif(
    not (orthanc.binary() and orthanc.web_plugin()), reason="Debian package orthanc-dicomweb"
)
def test_orthanc_as_a_client(node, tmp_path):
    """Orthanc's plugin stores in the node, searches it and retrieves, with name and password."""
    server = {"Url": url(node), "Username": "viewer", "Password": SECRET}
    copy = dcmread(MR)
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = "1.2.9.9"
    copy.StudyInstanceUID, copy.PatientID = "1.2.9", "ORTHANC"
    written = io.BytesIO()
    copy.save_as(written)
    more = {"DicomWeb": {"Enable": True, "Servers": {"node": server}}}
    with orthanc.running(tmp_path, web=True, more=more) as peer:
        peer.add(written.getvalue())

        def call(what: str, body: dict[str, Any]) -> httpx.Response:
            address = f"http://127.0.0.1:{peer.http_port}/dicom-web/servers/node/{what}"
            answer = httpx.post(address, json=body, timeout=30, trust_env=False)
            answer.raise_for_status()
            return answer

        call("stow", {"Resources": [peer.ask("/instances")[0]]})
        wait_until(lambda: bool(asked(node, "studies?PatientID=ORTHANC").json()), 20, "the index")
        found = call("qido", {"Uri": "/studies", "Arguments": {"00100020": "1CT1"}}).json()
        study = dcmread(CT, stop_before_pixels=True).StudyInstanceUID
        assert found[0]["0020000D"]["Value"] == study
        call("retrieve", {"Resources": [{"Study": study}]})
        assert set(peer.received()) == {"1.2.9.9", dcmread(CT).SOPInstanceUID}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_documented_command_does_what_it_says(node, command, tmp_path):
    """Each block of commands in docs/dicomweb.md ends well, and says or writes something."""
    (tmp_path / "image.dcm").write_bytes(Path(CT).read_bytes())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", command],
        env={**os.environ, "PATH": path, "TOKEN": SECRET, "no_proxy": "127.0.0.1",
             "NODE": url(node)},
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout or (tmp_path / "study.zip").stat().st_size > 1000


def test_dicomply(node):
    """PyPI's conformance checker passes, as far as it checks anything."""
    done = subprocess.run(
        [sys.executable, "-m", "dicomply", "check", "--url", url(node)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    if "not implemented" in done.stderr:
        pytest.skip(f"PyPI dicomply has no checks yet: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not VIEWER.is_dir(), reason="npm package @ohif/app: run `make viewer`")
@pytest.mark.skipif(browser.binary() is None, reason="Debian package chromium")
def test_ohif_lists_and_shows_a_study(node, tmp_path):
    """OHIF in a browser asks for the password once, lists the Studies, and shows the CT's image."""
    image = dcmread(CT)
    base = f"http://127.0.0.1:{node.http_port}"
    with browser.page(tmp_path, ("viewer", SECRET)) as page:
        page.open(f"{base}/ohif/")
        page.wait_for("document.body.innerText.includes('19-Jan-2004')", 60)
        page.wait_for("document.body.innerText.includes('for investigational use only')", 20)
        assert page.evaluate("self.crossOriginIsolated")
        page.open(f"{base}/ohif/viewer?StudyInstanceUIDs={image.StudyInstanceUID}")
        page.wait_for(_PRESSED.format("Skip all"), 60)
        page.wait_for(_PRESSED.format("Confirm and hide"), 20)
        expected = image.pixel_array.astype(float)
        wait_until(lambda: _likeness(page, tmp_path, expected) > 0.9, 30, "the image")
        assert page.prompts == 1
        assert page.refused == []
        elsewhere = [one for one in page.asked if not one.startswith((base, "blob:", "data:"))]
    assert elsewhere == []


_PRESSED = """(() => {{
  const found = [...document.querySelectorAll('button, a, span')]
    .find(one => one.innerText === '{}');
  if (found) found.click();
  return Boolean(found);
}})()"""
_PLACE = """(() => {
  const all = [...document.querySelectorAll('canvas')].map(one => one.getBoundingClientRect());
  const largest = all.sort((a, b) => b.width * b.height - a.width * a.height)[0];
  return largest ? [largest.x, largest.y, largest.width, largest.height] : [0, 0, 0, 0];
})()"""


def _likeness(page: browser.Page, directory: Path, expected: np.ndarray) -> float:
    """Correlate the largest picture on the page, drawn as a square, with pixels (rows, columns)."""
    x, y, width, height = page.evaluate(_PLACE)
    if min(width, height) < 200:
        return 0.0
    shot = Image.open(io.BytesIO(page.picture(directory / "image.png"))).convert("L")
    side = min(width, height)
    left, top = x + (width - side) / 2, y + (height - side) / 2
    square = shot.crop((int(left), int(top), int(left + side), int(top + side))).resize((32, 32))
    rows, columns = (np.arange(32) * size // 32 for size in expected.shape)
    seen = np.asarray(square, dtype=float).ravel()
    wanted = expected[np.ix_(rows, columns)].ravel()
    return 0.0 if seen.std() < 5 else float(np.corrcoef(seen, wanted)[0, 1])
