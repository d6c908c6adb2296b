"""What a running node tells analysts and other systems of a Study that was just sent to it."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from examples.peers import fhir_server
from examples.peers.node import running_node
from node.web.tokens import digest_of

TOKEN = "pnb_" + "f" * 43
TABLES = """
[peers.SCANNER]
may = ["store"]
[destinations.out]
kind = "folder"
path = "out"
[tokens.ehr]
digest = "{digest}"
may = ["fhir"]
[lakes.board]
destination = "out"
identity = true
[fhir]
server = "{url}"
"""


@pytest.mark.p3
def test_a_study_reaches_the_lake_and_a_fhir_server(
    tmp_path: Path, make_ct: Callable, store: Callable
):
    """A server that is throttled at first has the Study; /fhir answers the same; SQL finds it."""
    images = [make_ct(number) for number in (1, 2)]
    study = images[0].StudyInstanceUID
    with fhir_server.running() as server:
        server.moods[:] = ["503"]
        tables = TABLES.format(digest=digest_of(TOKEN), url=server.url)
        with running_node(tmp_path, tables) as node:
            assert {answer.status for answer in store(node, images)} == {0}
            node.wait_for(
                lambda seen: any(one.type == "penumbra.study.told" for one in seen),
                60,
                "the FHIR server's ImagingStudy",
            )
            (told,) = server.studies.values()
            assert [one["numberOfInstances"] for one in told["series"]] == [2]
            request = urllib.request.Request(
                f"http://127.0.0.1:{node.http_port}/fhir/ImagingStudy/{study}",
                headers={"Authorization": f"Bearer {TOKEN}"},
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                own = json.load(answer)
            assert own["series"] == told["series"]
            assert own["subject"] == told["subject"]
            made = node.run("lake", "export", "board")
            assert (made.returncode, made.stdout) == (0, "A job is made.\n"), made.stderr
            node.wait_for(
                lambda seen: any(one.type == "penumbra.lake.exported" for one in seen),
                60,
                "the export",
            )
            assert "board" in node.run("lake", "status").stdout
            with urllib.request.urlopen(f"http://127.0.0.1:{node.http_port}/metrics") as metrics:
                assert b'penumbra_lake_withheld_instances{lake="board"} 0.0' in metrics.read()
            ddl = node.run("lake", "ddl", "board", "--for", "duckdb").stdout
            (metadata,) = [one for one in ddl.split(";") if "board_metadata" in one]
            with duckdb.connect() as db:
                db.execute(metadata)
                rows = db.execute(
                    "SELECT StudyInstanceUID, PatientID, modality FROM penumbra_board_metadata"
                ).fetchall()
            assert rows == [(study, "ZZ-4711-0815", "CT")] * 2
