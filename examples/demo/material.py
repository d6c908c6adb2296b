"""Gather what the demo sends: real objects from pydicom-data and pydicom, as a scanner has them."""

import shutil
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom.data
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import UID

MODALITIES = {"CT", "MR", "US", "SC", "OT"}
IDENTIFYING = (
    "PatientName", "PatientID", "PatientAddress", "PatientTelephoneNumbers", "OtherPatientIDs",
    "OtherPatientNames", "AccessionNumber", "ReferringPhysicianName", "PerformingPhysicianName",
    "OperatorsName", "InstitutionName", "InstitutionAddress", "StationName",
    "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
)  # fmt: skip
LEFT_OUT = {"explicit_VR-UN.dcm"}
"""storescu finds no SOP UIDs where even those have the value representation UN."""
SHORTEST = 5
"""Shorter strings turn up by chance in compressed pixel data and prove nothing."""
NOBODY = {
    "OFFIS",
    "TOSHIBA",
    "GE MEDICAL SYSTEMS",
    "Anonymized",
    "Modality",
    "PATIENT",
    "Not connected",
    "Perfusion",
}
"""Values of real files that name nobody, and stand elsewhere with another meaning: the makers of
two scanners and of a toolkit, for one, as their own institutions."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One file on its way to the node."""

    path: Path
    sop_instance_uid: str
    study_instance_uid: str
    modality: str
    transfer_syntax_uid: str
    identity: frozenset[str]
    """What must not be found in anything that leaves: names, ids and UIDs of this object."""


def gather(folder: Path) -> list[Sent]:
    """Copy every usable real object into FOLDER/TRANSFER-SYNTAX: CT, MR, US and SC, one per UID.

    pydicom's own test files are there to break parsers. Left out are those that are no storage
    objects with UIDs, and those that repeat another's SOP Instance UID in another encoding.
    """
    taken: dict[str, Sent] = {}
    for path in _candidates():
        found = describe(path)
        if found is None or found.sop_instance_uid in taken:
            continue
        copy = folder / found.transfer_syntax_uid / f"{len(taken):03d}.dcm"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        taken[found.sop_instance_uid] = replace(found, path=copy)
    return list(taken.values())


def describe(path: Path) -> Sent | None:
    """Read what the demo needs to know of a file; None when it is nothing to send."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what breaks the standard is no real object
            head = dcmread(path, stop_before_pixels=True)
            identity = frozenset(_identity(head))
        if not _is_wanted(head):
            return None
        return Sent(
            path,
            str(head.SOPInstanceUID),
            str(head.StudyInstanceUID),
            str(head.Modality),
            str(head.file_meta.TransferSyntaxUID),
            identity,
        )
    except Exception:  # noqa: BLE001  (broken on purpose; tests/node send those too)
        return None


def _candidates() -> Iterator[Path]:
    # Only what is installed: pydicom would otherwise offer to download the rest.
    folders = [Path(pydicom.data.__file__).parent / "test_files"]
    try:
        import data_store
    except ImportError:
        pass
    else:
        folders += [Path(next(iter(data_store.__path__)))]
    for folder in folders:
        yield from sorted(path for path in folder.rglob("*.dcm") if path.name not in LEFT_OUT)


def _is_wanted(head: FileDataset) -> bool:
    needed = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
    return (
        all(head.get(keyword) for keyword in needed)
        and head.file_meta.get("MediaStorageSOPInstanceUID") == head.SOPInstanceUID
        and not UID(head.SOPClassUID).is_retired  # storescu does not propose those
        and head.Modality in MODALITIES
        and UID(head.SOPClassUID).name.endswith("Storage")
        and "Rows" in head
    )


def _identity(head: FileDataset) -> Iterator[str]:
    for element in head.iterall():
        if element.keyword in IDENTIFYING:
            for value in _values(element.value):
                if not value.startswith("1.2.840.10008."):
                    yield from (p for p in _parts(value) if len(p) >= SHORTEST and p not in NOBODY)


def _values(value: object) -> Iterable[str]:
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return [str(one) for one in value]  # type: ignore[attr-defined]  # one of those
    return [str(value)]


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.replace("^", "=").split("=")]
