"""De-identify files into a folder; what cannot be proven clean goes into a quarantine folder.

The twin of the pipeline for files: the same engine and the same bytes, without a server.
"""

import filecmp
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deid.apply import Deidentified, deidentify
from deid.profile import Profile
from dicom.errors import DeidFault, NotClean


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    written: Path | None
    """The new file; None where the input was quarantined."""
    reason: str = ""
    """Why it was quarantined: tags and kinds, never values."""
    remarks: tuple[str, ...] = ()
    """What the account remarks about an object that passed."""


def find(inputs: Sequence[Path], apart_from: Sequence[Path]) -> list[Path]:
    """List the files to de-identify, folders searched to every depth, output folders left out."""
    outputs = [folder.resolve() for folder in apart_from]
    return [
        file
        for source in inputs
        for file in ([source] if source.is_file() else sorted(source.rglob("*")))
        if file.is_file() and not any(file.resolve().is_relative_to(each) for each in outputs)
    ]


def deidentify_files(
    files: Iterable[Path], profile: Profile, out: Path, quarantine: Path
) -> Iterator[Outcome]:
    """De-identify each file in turn and say what became of it.

    A new file lies under its new Study, Series and SOP Instance UIDs. Raises OSError when a
    file cannot be read or a folder cannot be written; no partial file is left.
    """
    for file in files:
        try:
            clean = deidentify(_bytes(file), profile)
            remarks = tuple(action for _, action in clean.account if action.startswith("remark"))
            yield Outcome(_write(clean, out), remarks=remarks)
        except DeidFault as fault:
            _quarantine(file, quarantine, f"{fault.code}: {fault}\n")
            yield Outcome(None, str(fault))


def _bytes(file: Path) -> memoryview:
    """Map a file into memory, so that pixel data is never read into it whole."""
    with file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size == 0:
            raise DeidFault("the file is empty")
        return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def _write(clean: Deidentified, out: Path) -> Path:
    """Write a new file whole or not at all; the same bytes may be there from an earlier run."""
    folder = out / clean.study_instance_uid / clean.series_instance_uid
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{clean.sop_instance_uid}.dcm"
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
        part.writelines(clean.chunks)
    fresh = Path(part.name)
    try:
        if not target.exists():
            fresh.chmod(0o644)
            fresh.replace(target)
        elif not filecmp.cmp(fresh, target, shallow=False):
            raise NotClean("another object of the same SOP Instance UID was written before")
    finally:
        fresh.unlink(missing_ok=True)
    return target


def _quarantine(file: Path, folder: Path, reason: str) -> None:
    """Copy a file as it is, with the reason beside it; a run that is repeated adds nothing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target, number = folder / file.name, 1
    while target.exists() and not filecmp.cmp(file, target, shallow=False):
        number += 1
        target = folder / f"{file.stem}-{number}{file.suffix}"
    shutil.copyfile(file, target)
    target.with_name(f"{target.name}.reason.txt").write_text(reason, "utf-8")
