"""Other doors on a running node: a folder, a bucket that is emptied into another, and kill -9."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from examples.peers.node import Node, new_key, running_node
from examples.peers.process import free_port, wait_until
from examples.peers.seaweed import Seaweed

FOLDER = """
[sources.box]
kind = "folder"
path = "box"
poll_s = 0.1
quiet_s = 0.3
after = "delete"
[destinations.out]
kind = "folder"
path = "out"
[[rules]]
name = "of the box"
when = { origin = "folder", calling_ae = "BOX", peer = { not = "*" } }
send = ["out"]
"""
SOURCE = """
[sources.{name}]
kind = "bucket"
url = "s3://{bucket}/{prefix}/{name}"
endpoint = "{endpoint}"
access_key = {{ env = "E2E_ACCESS_KEY" }}
secret_key = {{ env = "E2E_SECRET_KEY" }}
poll_s = {poll_s}
after = "{after}"
"""
CLEAN = """
[destinations.clean]
kind = "object-store"
url = "s3://{bucket}/{prefix}/clean"
endpoint = "{endpoint}"
access_key = {{ env = "E2E_ACCESS_KEY" }}
secret_key = {{ env = "E2E_SECRET_KEY" }}
[profiles.research]
key = {{ file = "research.key" }}
[[rules]]
name = "of the bucket"
when = {{ origin = "bucket", calling_ae = ["RAW", "TOLD"] }}
profile = "research"
send = ["clean"]
"""


SAID = {"PatientID": "ZZ-4711-0815", "BurnedInAnnotation": "NO"}
"""Otherwise the profile holds the image: nobody says that it bears no name."""


def bytes_of(image: Dataset) -> bytes:
    out = io.BytesIO()
    image.save_as(out, enforce_file_format=True)
    return out.getvalue()


def png() -> bytes:
    out = io.BytesIO()
    Image.new("L", (32, 24), 7).save(out, "PNG")
    return out.getvalue()


def delivered(node: Node, count: int) -> None:
    ledger = node.ledger()
    try:
        wait_until(lambda: len(ledger.receipts.list(None)) >= count, 60, "the deliveries")
    finally:
        ledger.close()


def new_uid_of(node: Node, study: str) -> str:
    """Give the UID under which a study left, as an administrator finds it in `penumbra prove`."""
    ledger = node.ledger()
    try:
        (new,) = {
            paid.delivered.receipt.study_instance_uid for paid in ledger.payments.of_study(study)
        }
        return new
    finally:
        ledger.close()


def keys_below(store: Any, prefix: str) -> list[str]:
    return [entry["path"] for page in store.list(prefix) for entry in page]


def below(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))


def new_token(*may: str) -> tuple[str, str]:
    """Make a token as an administrator does: the token, and its table."""
    options = [word for each in may for word in ("--may", each)]
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", "token", "new", "store", *options],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip(), "[tokens" + done.stderr.split("[tokens")[1]


@pytest.mark.p1
@pytest.mark.p7
@pytest.mark.timeout(180)
def test_kill_9_while_a_folder_is_emptied(tmp_path: Path, make_ct: Callable[..., Dataset]):
    """Files and images come in, match rules by their origin, and leave; kill -9 in the middle
    loses no file and makes nothing double, though files are deleted."""
    box, ports = tmp_path / "box", (free_port(), free_port())
    box.mkdir()
    images = [make_ct(number) for number in range(80)]
    for number, image in enumerate(images):
        (box / f"{number}").write_bytes(bytes_of(image))
    with running_node(tmp_path, FOLDER, ports=ports) as node:
        wait_until(lambda: len(list(box.iterdir())) < 70, 60, "the first files")
        node.process.kill()
        node.process.wait()
    assert 0 < len(list(box.iterdir())) < 70
    (box / "photo.png").write_bytes(png())
    (box / "photo.json").write_text(json.dumps({"PatientID": "4711", "Modality": "XC"}))
    (box / "bad.dcm").write_text("nothing")
    with running_node(tmp_path, FOLDER, ports=ports, log_name="again.log") as node:
        delivered(node, 81)
        rejected = ["rejected", "rejected/bad.dcm", "rejected/bad.dcm.reason.txt"]
        wait_until(lambda: below(box) == rejected, 30, "the last file")
        held = [
            dcmread(file, stop_before_pixels=True) for file in (tmp_path / "out").rglob("*.dcm")
        ]
        uids = [file.SOPInstanceUID for file in held if file.Modality == "CT"]
        assert sorted(uids) == sorted(image.SOPInstanceUID for image in images)
        assert sorted(file.Modality for file in held)[-2:] == ["CT", "XC"]
        assert "1 rejected, last looked" in node.run("status").stdout
        assert "KANARIEN" not in node.log.read_text()


@pytest.mark.p4
@pytest.mark.usefixtures("lake")  # for its keys in the environment
@pytest.mark.timeout(180)
def test_raw_objects_in_and_clean_objects_out(
    tmp_path: Path, bucket: Seaweed, make_ct: Callable[..., Dataset]
):
    """What is put below a prefix is de-identified and delivered below another: once a look finds
    it, or at once when the store tells of it; a token links what left, by its new UID alone."""
    new_key(tmp_path)
    store, prefix = bucket.store(), tmp_path.name
    token, table = new_token("sources", "links")
    sources = "".join(
        SOURCE.format(name=name, prefix=prefix, bucket=bucket.bucket, endpoint=bucket.endpoint,
                      poll_s=poll_s, after=after)
        for name, poll_s, after in (("raw", 0.2, "keep"), ("told", 3600, "move"))
    )  # fmt: skip
    tables = table + sources + CLEAN.format(
        prefix=prefix, bucket=bucket.bucket, endpoint=bucket.endpoint
    )  # fmt: skip
    for number in range(4):
        store.put(f"{prefix}/raw/a b/ü%41+{number}.dcm", bytes_of(make_ct(number)))
    store.put(f"{prefix}/raw/bad.dcm", b"nothing")
    store.put(f"{prefix}/raw/photo.png", png())
    store.put(f"{prefix}/raw/photo.json", json.dumps(SAID).encode())
    with (
        running_node(tmp_path, tables) as node,
        httpx.Client(
            base_url=f"http://127.0.0.1:{node.http_port}/api/v1", trust_env=False, timeout=20,
            headers={"Authorization": f"Bearer {token}"},
        ) as asked,
    ):  # fmt: skip
        delivered(node, 5)
        told = json.loads(node.run("status", "--json").stdout)["sources"]
        assert (told["raw"]["taken"], told["raw"]["rejected"]) == (5, 1)
        assert told["told"]["looked_at"] > 0
        assert len(keys_below(store, f"{prefix}/raw")) == 7  # kept
        for number in (8, 9):
            store.put(f"{prefix}/told/new/{number}.dcm", bytes_of(make_ct(number)))
        record = {"s3": {"bucket": {"name": bucket.bucket},
                         "object": {"key": f"{prefix}/told/new/9.dcm"}}}  # fmt: skip
        answer = asked.post("/sources/told/events", json={"Records": [record]})
        assert (answer.status_code, answer.json()) == (202, {"keys": 1})
        delivered(node, 6)
        moved = [f"{prefix}/told/new/8.dcm", f"{prefix}/told/taken/new/9.dcm"]
        wait_until(lambda: keys_below(store, f"{prefix}/told") == moved, 30, "the move")
        clean = [key for key in keys_below(store, f"{prefix}/clean") if key.endswith(".dcm")]
        assert len(clean) == 6
        for key in clean:
            # The whole ID: four digits of it stand in a new UID now and then, by chance.
            assert b"ZZ-4711-0815" not in bytes(store.get(key).bytes())
        original = make_ct(9).StudyInstanceUID
        assert asked.post("/links", json={"study": original}).status_code == 404
        links = asked.post("/links", json={"study": new_uid_of(node, original), "expires_s": 60})
        link = links.json()["links"][0]
        body = httpx.get(link["url"], trust_env=False).content
        assert dcmread(io.BytesIO(body)).SOPInstanceUID == link["sop_instance_uid"]
        happened = [json.loads(line) for line in node.run("events").stdout.splitlines()]
        (made,) = [each for each in happened if each["type"] == "penumbra.link.made"]
        assert made["data"]["by"] == "token store"
        assert asked.post("/sources/nobody/events", json={}).status_code == 404
        assert asked.get("/status").status_code == 403
        assert token not in node.log.read_text() + json.dumps(happened)
