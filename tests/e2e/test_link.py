"""`penumbra link` on a running node with a real S3: who has a link can fetch, until it expires."""

import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from examples.peers.node import running_node

TABLES = """
[peers.SCANNER]
may = ["store"]
[destinations.out]
kind = "folder"
path = "out"
[[rules]]
name = "all"
send = ["lake", "out"]
"""


def fetch(url: str) -> tuple[bytes, str, str]:
    """GET a URL; returns body, content type and the name that a browser would save it under."""
    with urllib.request.urlopen(url, timeout=20) as answer:
        kind, name = answer.headers["Content-Type"], answer.headers["Content-Disposition"]
        return answer.read(), kind, name


def test_links_of_a_study(tmp_path: Path, make_ct: Callable, store: Callable, lake: str):
    """Each object has a link that works without keys; a changed one does not; it is on record."""
    images = [make_ct(number) for number in (1, 2)]
    study = images[0].StudyInstanceUID
    with running_node(tmp_path, lake + TABLES) as node:
        assert {answer.status for answer in store(node, images)} == {0}
        node.wait_for(
            lambda seen: sum(one.type == "penumbra.series.delivered" for one in seen) >= 2,
            60,
            "both deliveries",
        )
        done = node.run("link", study, "--expires", "10m", "--json")
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert {line["sop_instance_uid"] for line in lines} == {
            image.SOPInstanceUID for image in images
        }
        for line in lines:
            body, kind, name = fetch(line["url"])
            uid = line["sop_instance_uid"]
            assert dcmread(io.BytesIO(body)).SOPInstanceUID == uid
            assert (kind, name) == ("application/dicom", f'attachment; filename="{uid}.dcm"')
            with pytest.raises(urllib.error.HTTPError, match="403"):
                fetch(line["url"].replace("X-Amz-Expires=600", "X-Amz-Expires=6000"))
        told = [json.loads(line) for line in node.run("events").stdout.splitlines()]
        (made,) = [each for each in told if each["type"] == "penumbra.link.made"]
        assert (made["data"]["destination"], made["data"]["objects"]) == ("lake", 2)
        assert "X-Amz" not in json.dumps(told)
        refused = node.run("link", study, "--destination", "out")
        assert (refused.returncode, "penumbra prove" in refused.stderr) == (1, True)
        assert node.run("link", study, "--expires", "8d").returncode == 2
