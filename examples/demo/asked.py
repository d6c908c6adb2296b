"""What the node answers when it is asked: C-FIND, C-GET, and DICOMweb."""

import email.parser
import email.policy
import hashlib
import io
import json
import subprocess
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import pydicom

from examples.demo.checks import Row, Run
from examples.peers.node import Node, penumbra
from examples.peers.process import debian

WORKSTATION = ("-aet", "WORKSTATION", "-aec", "PENUMBRA")


def answered(run: Run, folder: Path) -> Iterator[Row]:
    """A PACS workstation and a web viewer find and get what was sent."""
    studies = len({one.study_instance_uid for one in run.sent} | {run.truth.study_instance_uid})
    tool, found = _find_studies(run.node)
    yield Row(f"studies found by C-FIND ({tool})", str(found), str(studies), found == studies)
    listed = json.loads(_get(run, "/studies?limit=1000", "application/dicom+json"))
    yield Row("studies found by QIDO-RS", str(len(listed)), str(studies), len(listed) == studies)
    slices = len(run.truth.files)
    if debian("getscu") is not None:
        got = _pixels(_got(run, folder))
        same = len(got & _pixels(run.truth.files))
        yield Row("phantom's slices by C-GET (getscu)", str(same), str(slices), same == slices,
                  "the pixels that were sent")  # fmt: skip
    same = len(_by_web(run) & _pixels(run.truth.files))
    yield Row("phantom's slices by WADO-RS", str(same), str(slices), same == slices)


def _find_studies(node: Node) -> tuple[str, int]:
    if debian("findscu") is None:
        answer = penumbra("query", node.address, "--level", "STUDY", "--called", "PENUMBRA",
                          "--aet", "WORKSTATION", "--json")  # fmt: skip
        return "penumbra query", sum(line.startswith("{") for line in answer.stdout.splitlines())
    answer = subprocess.run(
        ["findscu", "-v", "-S", *WORKSTATION,
         "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", "-k", "PatientName",
         "127.0.0.1", str(node.port)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    output = answer.stdout + answer.stderr
    return "findscu", output.count("(Pending)")


def _got(run: Run, folder: Path) -> list[Path]:
    """Get the phantom's Study by C-GET into a folder."""
    folder.mkdir(exist_ok=True)
    subprocess.run(
        ["getscu", "-S", *WORKSTATION, "-od", folder, "-k", "QueryRetrieveLevel=STUDY",
         "-k", f"StudyInstanceUID={run.truth.study_instance_uid}", "127.0.0.1", str(run.node.port)],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return sorted(folder.iterdir())


def _pixels(files: Iterable[Path | io.BytesIO]) -> set[str]:
    """Tell images by their pixels: DCMTK writes datasets in its own way, and gets the SR too."""
    datasets = [pydicom.dcmread(file) for file in files]
    return {hashlib.sha256(one.PixelData).hexdigest() for one in datasets if "PixelData" in one}


def _by_web(run: Run) -> set[str]:
    """Get the phantom's Series by WADO-RS; gives the digests of its pixels."""
    truth = run.truth
    path = f"/studies/{truth.study_instance_uid}/series/{truth.series_instance_uid}"
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    request = _request(run, path, accept)
    with urllib.request.urlopen(request, timeout=60) as answer:
        head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
        whole = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + answer.read())
    return _pixels([io.BytesIO(part.get_payload(decode=True)) for part in whole.iter_parts()])


def _get(run: Run, path: str, accept: str) -> bytes:
    with urllib.request.urlopen(_request(run, path, accept), timeout=60) as answer:
        body: bytes = answer.read()
        return body


def _request(run: Run, path: str, accept: str) -> urllib.request.Request:
    url = f"http://127.0.0.1:{run.node.http_port}/dicom-web{path}"
    headers = {"Accept": accept, "Authorization": f"Bearer {run.token}"}
    return urllib.request.Request(url, headers=headers)
