"""What the node learns of an object is learnt within the memory that reading may take."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import io, resource, sys
from pathlib import Path
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from dicom.entity import Arrival
from dicom.errors import StorageFault
from dicom.part10 import file_meta
from storage.ledger.arriving import read
from storage.spool.reader import SpoolReader
from storage.spool.sealing import SpoolKey, SpoolKeys
from storage.spool.spool import Spool
root, key = Path(sys.argv[1]), SpoolKey(bytes(32)) if sys.argv[2] == "sealed" else None
head = Dataset()
head.SOPClassUID, head.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
head.StudyInstanceUID, head.SeriesInstanceUID, head.PatientID = "1.2.4", "1.2.5", "A"
stream = io.BytesIO()
dcmwrite(stream, head, implicit_vr=False, little_endian=True)
told = Arrival(head.SOPClassUID, "1.2.3", "1.2.840.10008.1.2.1", "A", "B", "a1", "h", 1.0)
size = 64 << 20
with Spool.open(root, segment_bytes=1 << 30, reserve_bytes=0, key=key) as spool:
    with spool.begin(told) as recording:
        recording.write(file_meta(told) + stream.getvalue())
        recording.write(bytes([0xe0, 0x7f, 0x10, 0]) + b"OW" + bytes(2))
        recording.write(size.to_bytes(4, "little"))
        for _ in range(size >> 20):
            recording.write(bytes(1 << 20))
        recording.commit()
    (record,) = spool.records({})
    reader = SpoolReader(root, SpoolKeys(key) if key else SpoolKeys())
    status = Path("/proc/self/status").read_text()
    used_kb = int(status.partition("VmData:")[2].split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, ((used_kb << 10) + (24 << 20), hard))
    found = read(reader, record)
    print(found.fault, found.texts["PatientID"], len(found.instance.digest))
    try:
        print("view", len(reader.view(record.location)) > size)
    except StorageFault as fault:
        print("fault", "no memory" in str(fault))
"""


@pytest.mark.parametrize(("form", "whole"), [("plain", "view"), ("sealed", "fault")])
def test_a_large_object_is_read_within_little_memory(tmp_path: Path, form: str, whole: str):
    """Digest and head need no room for all of an object; to open a sealed one whole is a fault."""
    asked = [sys.executable, "-c", PROGRAM, str(tmp_path / "spool"), form]
    ended = subprocess.run(
        asked, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3], timeout=60
    )
    assert ended.stdout.splitlines() == ["None A 64", f"{whole} True"]
