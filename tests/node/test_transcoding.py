"""Decoding for retrievals, in a process that may die without the front."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian

from dicom.errors import Refused
from dicom.meta import read_meta
from examples.peers.process import wait_until
from node.transcoding import Transcoding


@pytest.fixture(scope="module")
def transcoding() -> Iterator[Transcoding]:
    """One child, shared by these tests."""
    made = Transcoding(children=1)
    yield made
    made.close()


def source(name: str) -> tuple[list[memoryview], tuple[str, str, str]]:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    whole = Path(path).read_bytes()
    head = dcmread(io.BytesIO(whole), stop_before_pixels=True)
    syntax = read_meta(whole).transfer_syntax_uid
    return [memoryview(whole)], (str(head.SOPClassUID), str(head.SOPInstanceUID), syntax)


def test_a_compressed_object_is_decoded_in_a_child(transcoding):
    """The pixels of what comes back are those that pydicom decodes."""
    whole, named = source("MR_small_jp2klossless.dcm")
    made = transcoding.transcode(whole, named, ExplicitVRLittleEndian)
    found = dcmread(io.BytesIO(b"".join(made)))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    expected = dcmread(io.BytesIO(whole[0]))
    assert (found.pixel_array == expected.pixel_array).all()


def test_what_cannot_be_decoded_is_refused_with_a_reason(transcoding):
    """A codec that fails refuses that object, and the child goes on."""
    whole, named = source("JPEG-lossy.dcm")
    with pytest.raises(Refused, match="cannot be given in Explicit VR Little Endian"):
        transcoding.transcode(whole, named, ExplicitVRLittleEndian)
    test_a_compressed_object_is_decoded_in_a_child(transcoding)


def test_a_child_that_dies_costs_one_object(transcoding):
    """An object that kills the child is refused; the next one has another child."""
    whole, named = source("MR_small_jp2klossless.dcm")
    transcoding.transcode(whole, named, ExplicitVRLittleEndian)
    child = transcoding._all[0]._child
    os.kill(child.pid, signal.SIGSTOP)
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: child.poll() is not None, 5, "the end of the child")
    test_a_compressed_object_is_decoded_in_a_child(transcoding)


def test_a_child_that_hangs_ends_without_its_parent():
    """Where whoever asked was killed, a codec that never returns does not run for ever."""
    program = (
        "import time; from node import transcoding\n"
        "transcoding._answer = lambda asked: time.sleep(60)\n"
        "transcoding.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        child.stdin.write(b'{"within_s": 0.1}\n')
        child.stdin.flush()
        try:
            assert child.wait(20) == -signal.SIGALRM
        finally:
            child.kill()


def test_native_objects_need_no_child():
    """What is not compressed is written anew here."""
    made = Transcoding(children=1)
    whole, named = source("MR_small_bigendian.dcm")
    assert made.transcode(whole, named, ExplicitVRLittleEndian)
    assert made._all[0]._child is None
    made.close()
