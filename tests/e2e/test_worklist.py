"""The worklist of a running node: asked by DCMTK and pynetdicom, fed by files, orders and REST."""

import io
import json
import os
import signal
import socket
import subprocess
import urllib.request

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom.ae import ApplicationEntity

from examples.peers import find_scu, modality, worklist_scp
from examples.peers.node import running_node
from examples.peers.process import free_port, wait_until
from examples.peers.worklist_scp import MODALITY_WORKLIST, entry, write
from node.web.tokens import digest_of
from node.worklist.mllp import framed
from storage.ledger.worklist import Narrowing

SECRET = "pnb_" + "w" * 43
DIGEST = digest_of(SECRET)
STEPS = "ScheduledProcedureStepSequence"
ENTRIES = [
    entry(1),
    entry(2, Modality="MR", ScheduledStationAETitle="MR1"),
    entry(3, ScheduledProcedureStepStartDate="20260707"),
    entry(4, ScheduledProcedureStepStartTime="180000"),
    entry(5, ScheduledPerformingPhysicianName="SMITH^BOB"),
    entry(6, patient={"PatientName": "ROE^RICHARD", "PatientSex": "M"}),
    entry(7, ScheduledProcedureStepStartDate="20260708", ScheduledStationAETitle="CT2"),
    entry(8, patient={"SpecificCharacterSet": "ISO_IR 100", "PatientName": "MÜLLER^JÖRG"}),
]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """One node for all tests, over a folder of .wl files, with a port for orders."""
    root = tmp_path_factory.mktemp("worklist")
    folder = root / "wlm" / "PENUMBRA"
    folder.mkdir(parents=True)
    for number, made in enumerate(ENTRIES):
        write(folder, f"e{number}", made)
    tables = f"""
[peers.SCANNER]
may = ["worklist", "mpps", "store", "find"]
[peers.STRANGER]
may = ["find"]
[tokens.ris]
digest = "{DIGEST}"
may = ["worklist"]
[worklist]
folder = "wlm/PENUMBRA"
poll_s = 0.1
stations = {{ CT = "CT9" }}
[worklist.hl7]
port = {free_port()}
addresses = ["127.0.0.1"]
"""
    with running_node(root, tables) as made:
        wait_until(lambda: len(ask(made.port, {})) >= len(ENTRIES), 20, "the files' entries")
        yield made


def identifier(keys, step):
    """An identifier that asks for these keys, and for the patient, the step and its state."""
    made = find_scu.identifier(level="", PatientID="", PatientName="", AccessionNumber="")
    made.SpecificCharacterSet = "ISO_IR 100"
    for keyword, value in keys.items():
        setattr(made, keyword, value)
    inside = find_scu.identifier(level="", ScheduledProcedureStepID="", **step)
    setattr(made, STEPS, [inside])
    return made


def ask(port, keys, **step):
    """What a worklist answers, by pynetdicom."""
    status, found = find_scu.ask(port, identifier(keys, step), MODALITY_WORKLIST)
    assert status.Status == 0
    return found


QUERIES = [
    ({}, {}), ({"PatientID": "PID3"}, {}), ({"PatientID": "PID99"}, {}),
    ({"PatientName": "DOE*"}, {}), ({"PatientName": "ROE^RICHARD"}, {}),
    ({"PatientName": "?OE*"}, {}), ({"PatientName": "MÜLLER*"}, {}),
    ({"AccessionNumber": "ACC2"}, {}),
    ({}, {"Modality": "MR"}), ({}, {"ScheduledStationAETitle": "CT2"}),
    ({}, {"ScheduledStationAETitle": "CT1", "Modality": "CT"}),
    ({}, {"ScheduledPerformingPhysicianName": "SMITH*"}),
    ({}, {"ScheduledProcedureStepStartDate": "20260707"}),
    ({}, {"ScheduledProcedureStepStartDate": "20260707-"}),
    ({}, {"ScheduledProcedureStepStartDate": "-20260706"}),
    ({}, {"ScheduledProcedureStepStartDate": "20260706-20260707"}),
    ({}, {"ScheduledProcedureStepStartTime": "120000-"}),
    ({}, {"ScheduledProcedureStepStartTime": "093000"}),
    ({}, {"ScheduledProcedureStepStartDate": "20260706",
          "ScheduledProcedureStepStartTime": "080000-120000"}),
    ({}, {"ScheduledProcedureStepStartDate": "20260706-20260707",
          "ScheduledProcedureStepStartTime": "100000-180000"}),
    ({"PatientName": "DOE*"}, {"Modality": "CT", "ScheduledProcedureStepStartDate": "20260706-"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def wlmscpfs(node):
    """DCMTK's server over the same files."""
    if worklist_scp.WLMSCPFS is None:
        pytest.skip("needs wlmscpfs: apt-get install dcmtk")
    folder = node.config.parent / "wlm" / "PENUMBRA"
    with worklist_scp.serving(folder, node.config.parent / "wlmscpfs.log") as port:
        yield port


@pytest.mark.parametrize(("keys", "step"), QUERIES)
def test_wlmscpfs_answers_the_same(node, wlmscpfs, keys, step):
    """Over the same files DCMTK's server gives the same entries, with the same values."""
    ours, theirs = (
        sorted((one for one in ask(port, keys, **step) if str(one.PatientID).startswith("PID")),
               key=lambda one: str(one.PatientID))
        for port in (node.port, wlmscpfs)
    )  # fmt: skip
    assert [told(one) for one in ours] == [told(one) for one in theirs]


def told(match):
    """An answer's values, without its character set."""
    match.decode()
    values = {each.keyword: str(each.value) for each in match if each.VR != "SQ"}
    values.pop("SpecificCharacterSet", None)
    return values | {each.keyword: str(each.value) for each in match[STEPS].value[0]}


def test_findscu_finds_its_patient(node, tmp_path):
    """DCMTK's findscu -W asks by keys inside the step, and writes down whole answers."""
    if find_scu.FINDSCU is None:
        pytest.skip("needs findscu: apt-get install dcmtk")
    subprocess.run(
        [find_scu.FINDSCU, "-W", "-aet", "SCANNER", "-aec", "PENUMBRA", "-X", "-od", tmp_path,
         "-k", "PatientName", "-k", "StudyInstanceUID", "-k", f"{STEPS}[0].Modality=MR",
         "-k", f"{STEPS}[0].ScheduledProcedureStepStatus", "127.0.0.1", str(node.port)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    (answer,) = [dcmread(path, force=True) for path in tmp_path.glob("rsp*.dcm")]
    assert answer.PatientName == "DOE^JANE2"
    assert answer.StudyInstanceUID == "2.25.4702"
    assert answer[STEPS].value[0].ScheduledProcedureStepStatus == "SCHEDULED"


def test_bad_keys_are_named_and_unknown_ones_ignored(node):
    """A bad date is 0xA900 with the element; a key that is not known makes 0xFF01."""
    asked = identifier({}, {"ScheduledProcedureStepStartDate": "tomorrow"})
    status, found = find_scu.ask(node.port, asked, MODALITY_WORKLIST)
    assert (status.Status, found) == (0xA900, [])
    assert status.OffendingElement == 0x00400002
    assert "tomorrow" not in status.ErrorComment
    entity = ApplicationEntity("SCANNER")
    entity.add_requested_context(MODALITY_WORKLIST)
    association = entity.associate("127.0.0.1", node.port, ae_title="PENUMBRA")
    asked = identifier({"PatientID": "PID1", "InstanceCreatorUID": ""}, {})
    statuses = [one.Status for one, _ in association.send_c_find(asked, MODALITY_WORKLIST)]
    assert statuses == [0xFF01, 0x0000]
    association.release()


def test_who_may_not_has_no_context(node):
    """A peer without the permission is refused, and still answered where it may ask."""
    entity = ApplicationEntity("STRANGER")
    entity.add_requested_context(MODALITY_WORKLIST)
    entity.add_requested_context(find_scu.STUDY_ROOT)
    association = entity.associate("127.0.0.1", node.port, ae_title="PENUMBRA")
    accepted = [str(each.abstract_syntax) for each in association.accepted_contexts]
    assert accepted == [find_scu.STUDY_ROOT]
    last = list(association.send_c_find(find_scu.identifier(PatientID="x"), find_scu.STUDY_ROOT))
    assert last[-1][0].Status == 0
    association.release()


ITEM = {
    "PatientName": "Rest^Rita", "PatientID": "R1", "AccessionNumber": "RA1",
    STEPS: [{"Modality": "US", "ScheduledProcedureStepID": "R1",
             "ScheduledProcedureStepStartDate": "20260710"}],
}  # fmt: skip


def rest(node, method, path, body=None):
    """Ask the API."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{node.http_port}/api/v1{path}", method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"Bearer {SECRET}"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return json.load(refusal)


def test_a_program_says_entries_by_rest(node):
    """Said, listed, said again, read and taken back; a file's entry is the file's."""
    (made,) = rest(node, "POST", "/worklist", ITEM)["entries"]
    assert [str(one.PatientName) for one in ask(node.port, {"PatientID": "R1"})] == ["Rest^Rita"]
    again = rest(node, "POST", "/worklist", {**ITEM, "PatientSex": "F"})["entries"][0]
    assert again == {"id": made["id"], "is_new": False, "is_changed": True}
    found = rest(node, "GET", f"/worklist/{made['id']}")
    assert (found["state"], found["entry"]["PatientSex"]) == ("SCHEDULED", "F")
    listed = rest(node, "GET", "/worklist?limit=1000&state=SCHEDULED")["entries"]
    file = next(one["id"] for one in listed if one["source"] == "folder")
    assert rest(node, "DELETE", f"/worklist/{file}")["status"] == 409
    assert rest(node, "PUT", f"/worklist/{file}", ITEM)["status"] == 409
    assert rest(node, "PUT", "/worklist/my-own", {**ITEM, "PatientID": "R2"})["is_new"]
    for entry_id in (made["id"], "my-own"):
        assert rest(node, "DELETE", f"/worklist/{entry_id}") == {"id": entry_id}
        assert rest(node, "GET", f"/worklist/{entry_id}")["status"] == 404
    assert rest(node, "POST", "/worklist", {"PatientID": "R1"})["status"] == 400
    assert rest(node, "PUT", "/worklist/a%20b", ITEM)["status"] == 422


def hl7_port(node):
    """The port for orders, as the config has it."""
    text = node.config.read_text().split("[worklist.hl7]")[1]
    return int(text.split("port = ")[1].split("\n")[0])


def order(node, control, *, number="1", study="2.25.9901"):
    """Send an order, and give the code of its answer."""
    lines = [
        "MSH|^~\\&|RIS|HOSP|PEN|RAD|20261121||ORM^O01|1|P|2.3.1||||||UNICODE UTF-8",
        "PID|||H1^^^HOSP||Order^Otto||19700131|M",
        f"ORC|{control}|OP{number}|OF{number}||||^^^20260709103000",
        f"OBR|1|OP{number}|OF{number}|CTC^CT Chest^L" + "|" * 14 + "OACC|ORP|OSPS" + "|" * 4 + "CT",
        f"ZDS|{study}",
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", hl7_port(node)), 10) as ris:
        ris.sendall(framed("\r".join(lines).encode()))
        data = b""
        while not data.endswith(b"\x1c\r"):
            data += ris.recv(4096)
    return data.split(b"MSA|")[1][:2].decode()


def test_from_order_to_images(node):
    """Ordered, listed at the station, begun, imaged under its numbers, completed, and gone."""
    assert order(node, "NW") == "AA"
    asked = identifier(
        {"PatientID": "H1", "StudyInstanceUID": ""},
        {"ScheduledStationAETitle": "CT9", "Modality": "CT", "ScheduledProcedureStepStatus": ""},
    )
    _, (listed,) = find_scu.ask(node.port, asked, MODALITY_WORKLIST)
    step = listed[STEPS].value[0]
    assert (listed.AccessionNumber, step.ScheduledProcedureStepStatus) == ("OACC", "SCHEDULED")
    study = str(listed.StudyInstanceUID)
    begun = modality.beginning(study)
    begun.ScheduledStepAttributesSequence[0].ScheduledProcedureStepID = str(
        step.ScheduledProcedureStepID
    )
    with modality.performing(node.port, "SCANNER", "PENUMBRA") as association:
        assert modality.create(association, "2.25.9902", begun).Status == 0
        _, (now,) = find_scu.ask(node.port, asked, MODALITY_WORKLIST)
        assert now[STEPS].value[0].ScheduledProcedureStepStatus == "STARTED"
        store(node.port, study, str(listed.AccessionNumber))
        made = modality.ending("COMPLETED", {f"{study}.1": [f"{study}.1.1"]})
        assert modality.change(association, "2.25.9902", made).Status == 0
    assert find_scu.ask(node.port, asked, MODALITY_WORKLIST)[1] == []
    assert order(node, "XO") == "AA"  # said once more, it stays done
    assert find_scu.ask(node.port, asked, MODALITY_WORKLIST)[1] == []
    node.wait_for(
        lambda seen: any(one.type == "penumbra.worklist.completed" for one in seen)
        and any(one.type == "penumbra.series.settled" and study in str(one) for one in seen),
        20, "the Series that the step announced",
    )  # fmt: skip
    told = node.run("status").stdout
    assert "1 completed" in told
    with urllib.request.urlopen(f"http://127.0.0.1:{node.http_port}/metrics", timeout=10) as page:
        metrics = page.read().decode()
    assert 'penumbra_worklist_entries{state="COMPLETED"} 1.0' in metrics
    assert 'penumbra_hl7_messages_total{answer="AA"} 2.0' in metrics
    assert "Otto" not in node.log.read_text()


def store(port, study, accession):
    """Store an image of the Study, as the modality that read the worklist does."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = find_scu.CT, f"{study}.1.1"
    image.StudyInstanceUID, image.SeriesInstanceUID = study, f"{study}.1"
    image.PatientID, image.AccessionNumber, image.Modality = "H1", accession, "CT"
    data = dcmread(io.BytesIO(find_scu.written(image)))
    entity = ApplicationEntity("SCANNER")
    entity.add_requested_context(find_scu.CT, find_scu.EXPLICIT)
    association = entity.associate("127.0.0.1", port, ae_title="PENUMBRA")
    assert association.send_c_store(data).Status == 0
    association.release()


@pytest.mark.p1
def test_an_acknowledged_order_outlives_the_node(node):
    """The node is killed as soon as it says AA: the entry is on disk, and is told after a start."""
    assert order(node, "NW", number="KILL", study="2.25.9903") == "AA"
    os.kill(node.process.pid, signal.SIGKILL)
    ledger = node.ledger()
    found = list(ledger.worklist.candidates(Narrowing(studies=("2.25.9903",))))
    ledger.close()
    assert [one.item["PlacerOrderNumberImagingServiceRequest"] for one in found] == ["OPKILL"]
