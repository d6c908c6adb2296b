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
after = "{after}"
[destinations.out]
kind = "folder"
path = "out"
[[rules]]
name = "of the box"
when = {{ origin = "folder", calling_ae = "BOX", peer = {{ not = "*" }} }}
send = ["out"]
"""
BUCKET = """
[sources.inbox]
kind = "bucket"
url = "s3://{bucket}/{prefix}/raw"
endpoint = "{endpoint}"
access_key = {{ env = "E2E_ACCESS_KEY" }}
secret_key = {{ env = "E2E_SECRET_KEY" }}
poll_s = {poll_s}
after = "{after}"
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
when = {{ origin = "bucket", calling_ae = "INBOX" }}
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


def keys_below(store: Any, prefix: str) -> list[str]:
    return [entry["path"] for page in store.list(prefix) for entry in page]


def new_token(*may: str) -> tuple[str, str]:
    """Make a token as an administrator does: the token, and its table."""
    options = [word for each in may for word in ("--may", each)]
    done = subprocess.run(
        [sys.executable, "-m", "node.cli", "token", "new", "store", *options],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip(), "[tokens" + done.stderr.split("[tokens")[1]


def test_a_folder_is_a_door(tmp_path: Path, make_ct: Callable[..., Dataset]):
    """Files and images of a folder come in, match rules by their origin, and leave."""
    box = tmp_path / "box"
    box.mkdir()
    for number in range(3):
        (box / f"{number}.dcm").write_bytes(bytes_of(make_ct(number)))
    (box / "photo.png").write_bytes(png())
    (box / "photo.json").write_text(json.dumps({"PatientID": "4711", "Modality": "XC"}))
    (box / "bad.dcm").write_text("nothing")
    with running_node(tmp_path, FOLDER.format(after="move")) as node:
        delivered(node, 4)
        left = sorted(str(file.relative_to(box)) for file in box.rglob("*") if file.is_file())
        assert left == ["rejected/bad.dcm", "rejected/bad.dcm.reason.txt", "taken/0.dcm",
                        "taken/1.dcm", "taken/2.dcm", "taken/photo.json",
                        "taken/photo.png"]  # fmt: skip
        files = [dcmread(file) for file in (tmp_path / "out").rglob("*.dcm")]
        assert sorted(file.Modality for file in files) == ["CT", "CT", "CT", "XC"]
        told = json.loads(node.run("status", "--json").stdout)["sources"]["box"]
        assert (told["taken"], told["rejected"], told["trouble"]) == (4, 1, "")
        assert "source box" in node.run("status").stdout
        assert "KANARIEN" not in node.log.read_text()


@pytest.mark.p1
@pytest.mark.p7
@pytest.mark.timeout(180)
def test_kill_9_while_a_folder_is_emptied(tmp_path: Path, make_ct: Callable[..., Dataset]):
    """kill -9 in the middle loses no file and makes nothing double, though files are deleted."""
    box, ports = tmp_path / "box", (free_port(), free_port())
    box.mkdir()
    images = [make_ct(number) for number in range(200)]
    for number, image in enumerate(images):
        (box / f"{number}").write_bytes(bytes_of(image))
    tables = FOLDER.format(after="delete")
    with running_node(tmp_path, tables, ports=ports) as node:
        wait_until(lambda: len(list(box.iterdir())) < 150, 60, "the first files")
        node.process.kill()
        node.process.wait()
    assert 0 < len(list(box.iterdir())) < 150
    with running_node(tmp_path, tables, ports=ports, log_name="again.log") as node:
        delivered(node, 200)
        assert list(box.iterdir()) == []
        held = [
            dcmread(file, stop_before_pixels=True) for file in (tmp_path / "out").rglob("*.dcm")
        ]
        uids = [file.SOPInstanceUID for file in held]
        assert sorted(uids) == sorted(image.SOPInstanceUID for image in images)


@pytest.mark.p4
@pytest.mark.timeout(180)
def test_raw_objects_in_and_clean_objects_out(
    tmp_path: Path, bucket: Seaweed, lake: str, make_ct: Callable[..., Dataset]
):
    """What is put below raw/ is de-identified and delivered below clean/, and taken once."""
    new_key(tmp_path)
    store = bucket.store()
    prefix = tmp_path.name
    tables = BUCKET.format(
        bucket=bucket.bucket, prefix=prefix, endpoint=bucket.endpoint, poll_s=0.2, after="keep"
    )
    for number in range(4):
        store.put(f"{prefix}/raw/a b/ü%41+{number}.dcm", bytes_of(make_ct(number)))
    store.put(f"{prefix}/raw/bad.dcm", b"nothing")
    store.put(f"{prefix}/raw/photo.png", png())
    with running_node(tmp_path, tables) as node:
        delivered(node, 4)
        store.put(f"{prefix}/raw/photo.json", json.dumps(SAID).encode())
        delivered(node, 5)
        clean = [key for key in keys_below(store, f"{prefix}/clean") if key.endswith(".dcm")]
        assert len(clean) == 5
        for key in clean:
            assert b"4711" not in bytes(store.get(key).bytes())
        assert len(keys_below(store, f"{prefix}/raw")) == 7  # kept
        told = json.loads(node.run("status", "--json").stdout)["sources"]["inbox"]
        assert (told["taken"], told["rejected"]) == (5, 1)
    with running_node(tmp_path, tables, log_name="again.log") as node:
        looked = lambda: json.loads(node.run("status", "--json").stdout)["sources"]["inbox"]  # noqa: E731
        wait_until(lambda: looked()["looked_at"] > 0, 30, "a look through the bucket")
        assert looked()["taken"] == 0  # it is remembered over a restart


@pytest.mark.timeout(180)
def test_a_store_tells_of_new_objects(
    tmp_path: Path, bucket: Seaweed, lake: str, make_ct: Callable[..., Dataset]
):
    """S3's message wakes the source for its key alone; it is then moved in the bucket."""
    new_key(tmp_path)
    store, prefix = bucket.store(), tmp_path.name
    token, table = new_token("sources", "links")
    tables = table + BUCKET.format(
        bucket=bucket.bucket, prefix=prefix, endpoint=bucket.endpoint, poll_s=3600, after="move"
    )
    headers = {"Authorization": f"Bearer {token}"}
    with (
        running_node(tmp_path, tables) as node,
        httpx.Client(
            base_url=f"http://127.0.0.1:{node.http_port}/api/v1", headers=headers,
            trust_env=False, timeout=20,
        ) as asked,
    ):  # fmt: skip
        first = lambda: node.run("status", "--json").stdout  # noqa: E731
        looked = lambda: json.loads(first())["sources"]["inbox"]["looked_at"]  # noqa: E731
        wait_until(lambda: looked() > 0, 30, "the first look")
        for number in range(2):
            store.put(f"{prefix}/raw/new/{number}.dcm", bytes_of(make_ct(number)))
        record = {"s3": {"bucket": {"name": bucket.bucket},
                         "object": {"key": f"{prefix}/raw/new/1.dcm"}}}  # fmt: skip
        answer = asked.post("/sources/inbox/events", json={"Records": [record]})
        assert (answer.status_code, answer.json()) == (202, {"keys": 1})
        delivered(node, 1)
        wait_until(
            lambda: (
                keys_below(store, f"{prefix}/raw")
                == [f"{prefix}/raw/new/0.dcm", f"{prefix}/raw/taken/new/1.dcm"]
            ),
            30,
            "the move",
        )
        links = asked.post("/links", json={"study": make_ct(1).StudyInstanceUID, "expires_s": 60})
        (link,) = links.json()["links"]
        body = httpx.get(link["url"], trust_env=False).content
        assert dcmread(io.BytesIO(body)).SOPInstanceUID == link["sop_instance_uid"]
        told = [json.loads(line) for line in node.run("events").stdout.splitlines()]
        (made,) = [each for each in told if each["type"] == "penumbra.link.made"]
        assert made["data"]["by"] == "token store"
        assert asked.post("/sources/nobody/events", json={}).status_code == 404
        assert asked.get("/status").status_code == 403
        assert token not in node.log.read_text() + json.dumps(told)
