"""Real clients retrieve from a running node: dicomweb-client, and what it hands to pydicom."""

import io
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom.data import get_testdata_file

from dicom.meta import read_meta
from examples.peers.node import Node, running_node
from examples.peers.process import wait_until
from examples.peers.raw_scu import CT, RawPeer, dataset_of
from node.web.tokens import digest_of

SECRET = "pnb_" + "c" * 43
FILES = ["CT_small.dcm", "MR_small_RLE.dcm", "ExplVR_BigEnd.dcm", "SC_rgb_jpeg_dcmtk.dcm",
         "emri_small_jpeg_2k_lossless.dcm", "reportsi.dcm"]  # fmt: skip
CONFIG = f"""
[peers.SCANNER]
may = ["store", "find"]
[tokens.viewer]
digest = "{digest_of(SECRET)}"
may = ["query", "retrieve"]
"""


@pytest.fixture(scope="module")
def sources() -> dict[str, pydicom.Dataset]:
    """The real objects that are sent."""
    return {name: pydicom.dcmread(get_testdata_file(name)) for name in FILES}


@pytest.fixture(scope="module")
def node(tmp_path_factory, sources) -> Iterator[Node]:
    """A running node that was sent real objects by C-STORE."""
    with running_node(tmp_path_factory.mktemp("node"), CONFIG) as started:
        for source in sources.values():
            syntax = str(source.file_meta.TransferSyntaxUID)
            peer = RawPeer(started.port)
            peer.associate((str(source.SOPClassUID), syntax))
            whole = open_dataset(source)
            uid, kind = str(source.SOPInstanceUID), str(source.SOPClassUID)
            assert peer.store(whole, sop_class=kind, sop_instance=uid) == 0
            peer.release()
        last = list(sources.values())[-1]
        wait_until(lambda: status(started, last) == 200, 20, "the last object in the index")
        yield started


def open_dataset(source):
    """Give the encoded dataset of a file, as its bytes stand in it."""
    raw = Path(source.filename).read_bytes()
    return raw[read_meta(raw).dataset_offset :]


def status(node, source):
    url = f"http://127.0.0.1:{node.http_port}/dicom-web/studies/{source.StudyInstanceUID}/metadata"
    answer = requests.get(url, headers={"Authorization": f"Bearer {SECRET}"}, timeout=5)
    return answer.status_code


@pytest.fixture(scope="module")
def client(node) -> Iterator[DICOMwebClient]:
    """dicomweb-client, with a token."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {SECRET}"
    yield DICOMwebClient(f"http://127.0.0.1:{node.http_port}/dicom-web", session=session)
    session.close()


def uids(source):
    return source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID


def same(one, other):
    """Whether two datasets have the same elements but for pixels."""
    return [
        element.tag
        for element in one
        if element.tag != 0x7FE00010 and (element.tag not in other or element != other[element.tag])
    ]


@pytest.mark.parametrize("name", FILES)
def test_an_instance_comes_back_the_same(client, sources, name):
    """retrieve_instance gives every element and every pixel that was sent."""
    source = sources[name]
    syntax = str(source.file_meta.TransferSyntaxUID)
    found = client.retrieve_instance(*uids(source), media_types=(("application/dicom", "*"),))
    assert found.file_meta.TransferSyntaxUID == syntax
    assert not same(source, found)
    if "PixelData" in source:
        assert found.PixelData == source.PixelData
        decoded = client.retrieve_instance(*uids(source))
        assert (decoded.pixel_array == source.pixel_array).all()


def test_studies_and_series_come_whole(client, sources):
    """retrieve_study and retrieve_series give every instance below them."""
    study, series, _ = uids(sources["emri_small_jpeg_2k_lossless.dcm"])
    expected = {
        str(one.SOPInstanceUID) for one in sources.values() if one.StudyInstanceUID == study
    }
    for found in (client.retrieve_study(study), client.retrieve_series(study, series)):
        assert {str(one.SOPInstanceUID) for one in found} == expected


@pytest.mark.parametrize("name", FILES)
def test_metadata_reads_back(client, sources, name):
    """The three levels' metadata are DICOM JSON that pydicom reads, with the right values."""
    study, series, instance = uids(sources[name])
    heads = [
        client.retrieve_instance_metadata(study, series, instance),
        *client.retrieve_series_metadata(study, series),
        *client.retrieve_study_metadata(study),
    ]
    found = [one for one in heads if one["00080018"]["Value"] == [instance]]
    assert len(found) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = pydicom.Dataset.from_json(found[0], bulk_data_uri_handler=lambda *_: b"")
    assert read.get("PatientID") == sources[name].get("PatientID")
    assert str(read.get("PatientName", "")) == str(sources[name].get("PatientName", ""))


def test_frames_and_bulk_data(client, sources):
    """retrieve_instance_frames and retrieve_bulkdata give the very pixels."""
    source = sources["CT_small.dcm"]
    (frame,) = client.retrieve_instance_frames(*uids(source), frame_numbers=[1])
    assert frame == source.PixelData
    head = client.retrieve_instance_metadata(*uids(source))
    (value,) = client.retrieve_bulkdata(head["7FE00010"]["BulkDataURI"])
    assert value == source.PixelData
    part = client.retrieve_bulkdata(head["7FE00010"]["BulkDataURI"], byte_range=(10, 19))
    assert list(part) == [source.PixelData[10:20]]
    compressed = sources["emri_small_jpeg_2k_lossless.dcm"]
    found = client.retrieve_instance_frames(*uids(compressed), [1, 3], media_types=("image/jp2",))
    assert len(found) == 2
    assert all(one.startswith(b"\xff\x4f\xff\x51") for one in found)


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
def test_rendered_instances(client, sources, media_type):
    """retrieve_instance_rendered and the frames' give pictures that Pillow opens."""
    source = sources["emri_small_jpeg_2k_lossless.dcm"]
    whole = client.retrieve_instance_rendered(*uids(source), media_types=(media_type,))
    frame = client.retrieve_instance_frames_rendered(
        *uids(source), frame_numbers=[2], media_types=(media_type,)
    )
    for one in (whole, frame):
        assert Image.open(io.BytesIO(one)).size == (source.Columns, source.Rows)


def test_the_door_stays_quick_while_others_retrieve(node, sources):
    """C-STORE, C-ECHO and QIDO-RS are answered at once while clients retrieve and never read."""
    study = sources["CT_small.dcm"].StudyInstanceUID
    request = (
        f"GET /dicom-web/studies/{study} HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n"
        f"Authorization: Bearer {SECRET}\r\n\r\n"
    ).encode()
    silent = []
    try:
        for _ in range(50):
            silent.append(socket.create_connection(("127.0.0.1", node.http_port), 10))
            silent[-1].sendall(request * 20)
        started = time.monotonic()
        peer = RawPeer(node.port)
        peer.associate((CT, "1.2.840.10008.1.2"))
        assert peer.store(dataset_of("1.2.3.9"), sop_instance="1.2.3.9") == 0
        peer.release()
        stored_s = time.monotonic() - started
        done = subprocess.run(
            ["echoscu", "-aet", "SCANNER", "-aec", "PENUMBRA", "127.0.0.1", str(node.port)],
            capture_output=True, check=False, timeout=20,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = requests.get(
            f"http://127.0.0.1:{node.http_port}/dicom-web/studies",
            headers={"Authorization": f"Bearer {SECRET}"}, timeout=10,
        )  # fmt: skip
        assert found.status_code == 200
        assert stored_s < 2
        assert time.monotonic() - started < 5
    finally:
        for one in silent:
            one.close()


def test_frames_are_the_array(client, sources):
    """A decoded frame by octets is what pydicom decodes from the file."""
    source = sources["emri_small_jpeg_2k_lossless.dcm"]
    (frame,) = client.retrieve_instance_frames(
        *uids(source), [4], media_types=("application/octet-stream",)
    )
    expected = source.pixel_array[3]
    assert (np.frombuffer(frame, expected.dtype).reshape(expected.shape) == expected).all()
