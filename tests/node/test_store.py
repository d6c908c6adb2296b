"""C-STORE with real peers and objects: stored byte for byte, or refused with a fitting status."""

import contextlib
import functools
import io
import resource
import shutil
import subprocess
import warnings
import zlib
from pathlib import Path
from urllib.error import HTTPError

import data_store
import pydicom
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pynetdicom import AE
from pynetdicom.sop_class import _STORAGE_CLASSES

from dicom import part10
from examples.peers import orthanc
from examples.peers.process import wait_until


def run_dcmtk(door, command, paths):
    """Run a DCMTK sender against the door; returns (exit status, what it printed)."""
    titles = ["-v", "-aet", "SCANNER", "-aec", "PENUMBRA"]
    done = subprocess.run(
        [*command, *titles, "127.0.0.1", str(door.port), *paths],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


DCMTK = pytest.mark.skipif(not shutil.which("storescu"), reason="needs Debian's dcmtk (storescu)")


@functools.cache
def real_objects():
    """The real objects of pydicom and pydicom-data: (path, SOP class, instance, syntax, dataset).

    Those whose file meta and dataset disagree are left out; the door refuses them on purpose.
    """
    roots = [Path(pydicom.__file__).parent / "data" / "test_files", Path(data_store.__path__[0])]
    found = []
    for path in sorted(one for root in roots for one in root.rglob("*.dcm")):
        raw = path.read_bytes()
        if raw[128:132] != b"DICM" or path.name.startswith("badVR"):
            continue
        with warnings.catch_warnings(action="ignore"):
            meta = read_file_meta_info(path)
        syntax = meta.get("TransferSyntaxUID")
        if "FileMetaInformationGroupLength" not in meta or syntax is None:
            continue
        dataset = raw[144 + meta.FileMetaInformationGroupLength :]
        names = (
            str(meta.get("MediaStorageSOPClassUID")),
            str(meta.get("MediaStorageSOPInstanceUID")),
        )
        if names[0] in _STORAGE_CLASSES.values() and agree(path, names):
            found.append((path, *names, str(syntax), dataset))
    assert len(found) > 100
    return found


def agree(path, names):
    try:
        with warnings.catch_warnings(action="ignore"):  # real files hold invalid UIDs
            head = dcmread(path, stop_before_pixels=True)
            return (str(head.SOPClassUID), str(head.SOPInstanceUID)) == names
    except (AttributeError, ValueError, InvalidDicomError):
        return False


@pytest.mark.p1
@pytest.mark.filterwarnings("ignore::UserWarning")  # real files hold invalid UIDs and VRs
def test_real_objects_are_stored_byte_for_byte(door, call):
    """Every real object, in each of a dozen transfer syntaxes, lies in the spool as it was sent."""
    peer = call()
    kinds = sorted({(sop_class, syntax) for _, sop_class, _, syntax, _ in real_objects()})
    assert len({syntax for _, syntax in kinds}) >= 12
    results = peer.associate(*kinds)
    assert set(results.values()) == {0}
    for _, sop_class, sop_instance, syntax, dataset in real_objects():
        status = peer.store(
            dataset,
            sop_class=sop_class,
            sop_instance=sop_instance,
            context_id=2 * kinds.index((sop_class, syntax)) + 1,
        )
        assert status == 0, sop_instance
    peer.release()
    assert door.datasets() == [dataset for *_, dataset in real_objects()]
    for instance, (_, sop_class, sop_instance, syntax, _) in zip(
        door.stored, real_objects(), strict=True
    ):
        meta = dcmread(
            io.BytesIO(door.receiver.bytes_of(instance)), stop_before_pixels=True
        ).file_meta
        assert meta.MediaStorageSOPClassUID == sop_class
        assert meta.MediaStorageSOPInstanceUID == sop_instance
        assert meta.TransferSyntaxUID == syntax


@DCMTK
def test_storescu_stores_real_files(door):
    """DCMTK's storescu sends real CT, MR, US and SR files and hears Success for each."""
    paths = [
        str(path)
        for path, _, _, syntax, _ in real_objects()
        if syntax == "1.2.840.10008.1.2.1" and path.name != "MR_truncated.dcm"  # DCMTK reads it not
    ]
    code, said = run_dcmtk(door, ["storescu", "-R"], paths)
    assert code == 0, said
    assert said.count("Received Store Response (Success)") == len(paths)
    assert len(door.stored) == len(paths)
    assert door.ended()[0][1].outcome == "released"


@pytest.mark.skipif(orthanc.binary() is None, reason="needs Debian's orthanc")
def test_orthanc_stores_real_files(door, tmp_path):
    """Orthanc, as a PACS that forwards, sends real objects by C-STORE, and each arrives."""
    paths = [path for path, _, _, syntax, _ in real_objects() if syntax == "1.2.840.10008.1.2.1"]
    with orthanc.running(tmp_path, aet="SCANNER") as pacs:
        for path in paths:
            with contextlib.suppress(HTTPError):  # some are too odd for it
                pacs.add(path.read_bytes())
        held = set(pacs.received())
        pacs.store_all("PENUMBRA", door.port)
    assert {one.arrival.sop_instance_uid for one in door.stored} == held
    assert len(held) > 5


@DCMTK
def test_dcmsend_stores_real_files(door):
    """DCMTK's dcmsend sends files in compressed transfer syntaxes, each as it is."""
    objects = [one for one in real_objects() if ".1.2.4." in one[3] or one[3].endswith(".1.2.5")]
    paths = [str(one[0]) for one in objects]
    code, said = run_dcmtk(door, ["dcmsend", "-nh", "-dn"], paths)
    assert code == 0, said
    assert len(door.stored) > 20, said
    sent = {(one[2], one[3]) for one in objects}
    assert {
        (i.arrival.sop_instance_uid, i.arrival.transfer_syntax_uid) for i in door.stored
    } <= sent


def test_pynetdicom_scu_stores_in_parallel(door):
    """Four pynetdicom SCUs at once each hear Success for all of their objects."""
    heads = [dcmread(path) for path, *_ in real_objects()[:10]]

    def scu():
        ae = AE(ae_title="SCANNER")
        for head in heads:
            ae.add_requested_context(head.SOPClassUID, head.file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", door.port, ae_title="PENUMBRA")
        assert association.is_established
        return association

    associations = [scu() for _ in range(4)]
    for head in heads:
        for association in associations:
            assert association.send_c_store(head).Status == 0
    for association in associations:
        association.release()
    assert len(door.stored) == 40
    assert len({instance.arrival.association for instance in door.stored}) == 4


def test_every_storage_class_is_accepted(door, call, wire):
    """Every storage SOP class that pynetdicom knows is accepted, uncompressed and compressed."""
    classes = sorted(set(_STORAGE_CLASSES.values()))
    for start in range(0, len(classes), 64):
        some = classes[start : start + 64]
        peer = call()
        proposed = [
            (one, syntax) for one in some for syntax in (wire.IMPLICIT, "1.2.840.10008.1.2.4.90")
        ]
        assert set(peer.associate(*proposed).values()) == {0}
        peer.release()


def test_private_class_by_config_and_unknown_class_not(open_door, call, wire):
    """A private SOP class is stored where the config names it; an unknown one is refused in its
    context, and the association goes on."""
    private = "1.3.6.1.4.1.99999.1"
    door = open_door(private_sop_classes=[private])
    peer = call(door)
    unknown = "1.2.3.4.5.6"
    results = peer.associate(
        (private, wire.EXPLICIT), (unknown, wire.IMPLICIT), (wire.CT, wire.IMPLICIT)
    )
    assert results == {1: 0, 3: 3, 5: 0}
    data = wire.dataset_of(sop_class=private)
    assert peer.store(data, sop_class=private) == 0
    assert peer.store(wire.dataset_of(), context_id=5) == 0
    peer.release()
    assert [one.arrival.sop_class_uid for one in door.stored] == [private, wire.CT]


@pytest.mark.parametrize(
    "case",
    [
        ({"sop_instance": ""}, {}, 0x0117, "SOP Instance UID is empty"),
        ({"sop_instance": "../../etc/passwd"}, {}, 0x0117, "no UID"),
        ({"sop_instance": "1" * 66}, {}, 0x0117, "no UID"),
        ({"sop_class": "1.2.3"}, {}, 0x0122, "presentation context"),
        ({"sop_class": ""}, {}, 0x0122, "presentation context"),
        ({}, {"sop_instance": "1.2.4"}, 0xA900, "SOP Instance UID differs"),
        ({}, {"sop_class": "1.2.840.10008.5.1.4.1.1.4"}, 0xA900, "SOP Class UID differs"),
    ],
)  # fmt: skip
def test_refusals(door, call, wire, case):
    """A request that cannot be right is refused with the standard's status and a word why."""
    command, dataset, status, comment = case
    peer = call()
    peer.associate()
    peer.send(wire.p_data((1, 3, wire.store_rq(**command))))
    peer.send(wire.p_data((1, 2, wire.dataset_of(**dataset))))
    answer = peer.read_response()
    assert answer["status"] == status
    assert comment in answer["comment"]
    assert peer.store(wire.dataset_of()) == 0
    assert len(door.stored) == 1
    assert door.receiver.abandoned == (status == 0xA900)


def test_no_permission_to_store(door, call, wire):
    """A peer without "store" may associate, is refused the context, and can store nothing."""
    peer = call()
    assert peer.associate(calling="NOSTORE") == {1: 1}
    peer.send(wire.p_data((1, 3, wire.store_rq())))
    assert peer.read_to_end() == [7]
    assert door.stored == []


@pytest.mark.parametrize(("parts", "flag"), [([(1, 3)], 0x0101), ([(1, 3), (1, 2)], 1)])
def test_no_dataset_is_not_understood(door, call, wire, parts, flag):
    """A C-STORE without a dataset, or with an empty one, is answered by 0xC000."""
    peer = call()
    peer.associate()
    command = wire.store_rq(dataset=flag)
    for context_id, control in parts:
        peer.send(wire.p_data((context_id, control, command if control == 3 else b"")))
    assert peer.read_response()["status"] == 0xC000
    assert door.stored == []


UNPARSABLE = {
    "noise": bytes(range(256)) * 10,
    "one byte": b"\x08",
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 500,
    "length that lies": b"\x08\x00\x16\x00\xff\xff\xff\x7f1.2",
    "no SOP UIDs": b"\x10\x00\x10\x00\x04\x00\x00\x00A^B ",
}


@pytest.mark.parametrize("said", UNPARSABLE.values(), ids=UNPARSABLE.keys())
def test_what_cannot_be_parsed_is_kept(door, call, said):
    """A dataset that nobody can parse, or without UIDs, was validly transferred: it is stored as
    it came and answered with Success, and held later by whoever files it."""
    peer = call()
    peer.associate()
    assert peer.store(said) == 0
    assert door.datasets() == [said]


@pytest.mark.parametrize("uid", ["1.02.3", "1.2.3.", "00.1", "ABC-1", "1"])
def test_slips_in_uids_are_kept(door, call, wire, uid):
    """A UID with a leading zero and other slips of real scanners is stored as it is."""
    peer = call()
    peer.associate()
    assert peer.store(wire.dataset_of(uid), sop_instance=uid) == 0
    assert door.stored[0].arrival.sop_instance_uid == uid


def test_deflated_dataset_is_looked_into(door, call, wire):
    """The SOP UIDs of a deflated dataset are compared too, and its bytes stay deflated."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.PatientID = wire.CT, "1.2.3", "X" * 60
    raw = io.BytesIO()
    dcmwrite(raw, dataset, implicit_vr=False, little_endian=True)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = packer.compress(raw.getvalue()) + packer.flush()
    peer = call()
    peer.associate((wire.CT, "1.2.840.10008.1.2.1.99"))
    assert peer.store(deflated, sop_instance="1.2.4") == 0xA900
    assert peer.store(deflated) == 0
    assert door.datasets() == [deflated]


@pytest.mark.p1
def test_full_disk_is_told_and_recovered_from(door, call, wire):
    """When the kernel refuses to write, the sender hears 0xA700 and nothing is kept; once there is
    room the same association stores again."""
    peer = call()
    peer.associate()
    big = wire.dataset_of(size_bytes=8 << 20)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, limits[1]))
    try:
        assert peer.store(big) == 0xA700
        assert door.stored == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert peer.store(big) == 0
    assert door.datasets() == [big]
    peer.release()


@DCMTK
def test_storescu_hears_out_of_resources(door, wire):
    """storescu prints the refusal when there is no room, and succeeds afterwards."""
    paths = [str(one[0]) for one in real_objects() if one[0].name == "CT_small.dcm"]
    door.receiver.fault = wire.Full("no room")
    assert "Refused: OutOfResources" in run_dcmtk(door, ["storescu"], paths)[1]
    door.receiver.fault = None
    assert run_dcmtk(door, ["storescu"], paths)[0] == 0
    assert len(door.stored) == len(paths)


@pytest.mark.p7
def test_the_same_object_twice_has_one_digest(door, call, wire):
    """Sent again, by whomever, the same dataset gives the same bytes in the spool."""
    for calling in ("SCANNER", "SCANNER"):
        peer = call()
        peer.associate(calling=calling)
        assert peer.store(wire.dataset_of()) == 0
        peer.release()
    first, second = door.stored
    assert first.digest == second.digest
    assert first.arrival.association != second.arrival.association


def test_arrival_tells_where_it_came_from(door, call, wire):
    """The fact in the log names caller, called, address, association, syntax and time."""
    peer = call()
    peer.associate((wire.CT, wire.EXPLICIT))
    peer.store(wire.dataset_of())
    peer.release()
    door.ended()
    arrival = door.stored[0].arrival
    assert arrival.calling_ae == "SCANNER"
    assert arrival.called_ae == "PENUMBRA"
    assert arrival.address == "127.0.0.1"
    assert arrival.association == door.diary.opened[0].id
    assert arrival.transfer_syntax_uid == wire.EXPLICIT
    assert arrival.received_at == 1_700_000_000.0
    assert door.receiver.bytes_of(door.stored[0]).startswith(part10.file_meta(arrival))
    wait_until(lambda: not door.connections(), 10, "the end")
