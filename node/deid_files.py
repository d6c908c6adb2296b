"""De-identify files into a folder as the pipeline does: the same bytes, kept and proven the same.

What cannot be proven clean goes into a quarantine folder, with the reason beside it.
"""

import filecmp
import hashlib
import mmap
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deid.apply import Deidentified, deidentify
from deid.profile import Profile
from dicom.errors import DeidFault
from dicom.validation import Finding
from node.workers.treatment import findings_in_words, findings_of, named, outgoing
from storage.destinations.base import Receipt
from storage.destinations.folder import Folder
from storage.evidence.entry import Account, Clean

Keep = Callable[[Deidentified, memoryview], object]
"""Keeps the way back of an object, given with its original bytes, before it is written."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file; no values, and nothing of the file stays in memory."""

    source_digest: str
    """SHA-256 (hex) of the file as it was."""
    at: float
    account: Account
    clean: Clean | None
    """None where the file was quarantined."""
    receipt: Receipt | None
    code: str = ""
    reason: str = ""
    """Why it was quarantined: tags and kinds, never values."""


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
    files: Iterable[Path], profile: Profile, out: Folder, quarantine: Path, keep: Keep | None = None
) -> Iterator[Outcome]:
    """De-identify each file in turn and say what became of it.

    A new file lies under its new Study, Series and SOP Instance UIDs, synced and read back. Raises
    OSError when a file cannot be read or copied, DeliveryFault when `out` cannot be written,
    and whatever `keep` raises; no partial file is left.
    """
    for file in files:
        found: tuple[Finding, ...] = ()
        view = _bytes(file)
        digest = hashlib.sha256(view).hexdigest()
        try:
            _require_content(view)
            found = findings_of(view, "record")
            clean = deidentify(view, profile)
            if keep:
                keep(clean, view)
        except DeidFault as fault:
            account = Account(findings=findings_in_words(found))
            _quarantine(file, quarantine, f"{fault.code}: {fault}\n")
            yield Outcome(digest, time.time(), account, None, None, fault.code, str(fault))
            continue
        account = Account(clean.account, clean.options, findings_in_words(found))
        (receipt,) = out.send([outgoing(clean, digest)])
        yield Outcome(digest, time.time(), account, named(clean), receipt)


def _bytes(file: Path) -> memoryview:
    """Map a file into memory, so that pixel data is never read into it whole."""
    with file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size == 0:  # nothing can be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))


def _require_content(view: memoryview) -> None:
    if not view:
        raise DeidFault("the file is empty")


def _quarantine(file: Path, folder: Path, reason: str) -> None:
    """Copy a file as it is, with the reason beside it; a run that is repeated adds nothing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target, number = folder / file.name, 1
    while target.exists() and not filecmp.cmp(file, target, shallow=False):
        number += 1
        target = folder / f"{file.stem}-{number}{file.suffix}"
    shutil.copyfile(file, target)
    target.with_name(f"{target.name}.reason.txt").write_text(reason, "utf-8")
