"""DCMTK's worklist server, wlmscpfs, over a folder of .wl files; and entries as files for it."""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite

from examples.peers.process import answers, free_port, running

WLMSCPFS = shutil.which("wlmscpfs")
MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"
_STEP = {
    "Modality": "CT",
    "ScheduledStationAETitle": "CT1",
    "ScheduledProcedureStepStartDate": "20260706",
    "ScheduledProcedureStepStartTime": "093000",
    "ScheduledPerformingPhysicianName": "JONES^ANN",
    "ScheduledProcedureStepDescription": "CHEST",
    "ScheduledProcedureStepID": "S1",
    "ScheduledStationName": "ROOM1",
    "ScheduledProcedureStepLocation": "EAST",
}


def entry(number: int, *, patient: dict[str, Any] | None = None, **step: Any) -> Dataset:
    """Make an entry; patients, Studies and steps count up."""
    item = Dataset()
    for keyword, value in {**_STEP, "ScheduledProcedureStepID": f"S{number}", **step}.items():
        setattr(item, keyword, value)
    made = Dataset()
    facts = {
        "PatientName": f"DOE^JANE{number}", "PatientID": f"PID{number}", "PatientSex": "F",
        "PatientBirthDate": "19700131", "PatientWeight": "60", "PregnancyStatus": 4,
        "StudyInstanceUID": f"2.25.{4700 + number}", "AccessionNumber": f"ACC{number}",
        "RequestedProcedureID": f"RP{number}", "RequestedProcedureDescription": "CT CHEST",
        "RequestedProcedurePriority": "ROUTINE", "ReferringPhysicianName": "HOUSE^GREG",
        "RequestingPhysician": "CUDDY^LISA", **(patient or {}),
    }  # fmt: skip
    for keyword, value in facts.items():
        setattr(made, keyword, value)
    made.ScheduledProcedureStepSequence = [item]
    return made


def write(folder: Path, name: str, made: Dataset) -> None:
    """Write an entry as a .wl file, put into its place as a whole."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MODALITY_WORKLIST, "1.2"
    meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    made.file_meta = meta
    buffer = io.BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    partial = folder / f".{name}.part"
    partial.write_bytes(buffer.getvalue())
    partial.rename(folder / f"{name}.wl")


@contextlib.contextmanager
def serving(folder: Path, log: Path) -> Iterator[int]:
    """Run wlmscpfs over a folder, whose name is the AE title to call; gives its port."""
    assert WLMSCPFS is not None
    (folder / "lockfile").touch()
    port = free_port()
    with running(
        [WLMSCPFS, "--disable-file-reject", "--data-files-path", folder.parent, str(port)],
        ready=lambda: answers(port), log=log,
    ):  # fmt: skip
        yield port
