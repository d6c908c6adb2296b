"""Gather what the demo sends: real objects from pydicom-data and pydicom, as a scanner has them."""

import shutil
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
SHORTEST = 5
"""Shorter strings turn up by chance in compressed pixel data and prove nothing."""


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
    """Copy every usable real object into a folder: images of CT, MR, US and SC, one per UID.

    pydicom's own test files are there to break parsers. Left out are those that are no storage
    objects with UIDs, and those that repeat another's SOP Instance UID in another encoding.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken: dict[str, Sent] = {}
    for path in _candidates():
        found = describe(path)
        if found is None or found.sop_instance_uid in taken:
            continue
        copy = folder / f"{len(taken):03d}.dcm"
        shutil.copyfile(path, copy)
        taken[found.sop_instance_uid] = replace(found, path=copy)
    return list(taken.values())


def describe(path: Path) -> Sent | None:
    """Read what the demo needs to know of a file; None when it is nothing to send."""
    try:
        head = dcmread(path, stop_before_pixels=True)
        wanted = _is_wanted(head)
        if not wanted:
            return None
        return Sent(
            path,
            str(head.SOPInstanceUID),
            str(head.StudyInstanceUID),
            str(head.Modality),
            str(head.file_meta.TransferSyntaxUID),
            frozenset(_identity(head)),
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
        yield from sorted(path for path in folder.rglob("*.dcm") if path.is_file())


def _is_wanted(head: FileDataset) -> bool:
    needed = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
    return (
        all(head.get(keyword) for keyword in needed)
        and head.Modality in MODALITIES
        and UID(head.SOPClassUID).name.endswith("Storage")
        and "Rows" in head
    )


def _identity(head: FileDataset) -> Iterator[str]:
    for element in head.iterall():
        if element.keyword in IDENTIFYING:
            for value in _values(element.value):
                if not value.startswith("1.2.840.10008."):
                    yield from (part for part in _parts(value) if len(part) >= SHORTEST)


def _values(value: object) -> Iterable[str]:
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return [str(one) for one in value]  # type: ignore[attr-defined]  # one of those
    return [str(value)]


def _parts(value: str) -> list[str]:
    return [part.strip() for part in value.replace("^", "=").split("=")]
