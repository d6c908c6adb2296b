"""A folder with a file for each worklist entry: what is in it is on the worklist, and no more.

Files are those of DCMTK's wlmscpfs (datasets named *.wl), or JSON. A file that changes changes its
entry, and one that goes takes its entry along. Names of files are told to nobody: they may tell
who the patient is. What cannot be read is named in a file beside the ledger.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from dicom.errors import CannotUnderstand, StorageFault
from dicom.worklist_reading import LARGEST_BYTES, of_file
from storage.ledger.worklist import Draft

SUFFIXES: Final = (".wl", ".dcm", ".json")
MOST_FILES: Final = 100_000
REASONS: Final = "worklist-rejected.txt"


class Entries(Protocol):
    """Where entries are kept: the ledger."""

    def files(self) -> dict[str, str]:
        """Give the state of each file that was read."""

    def put_file(self, file: str, drafts: Sequence[Draft], now: float) -> None:
        """Write down what a file says."""

    def forget_files(self, files: Sequence[str], now: float) -> int:
        """Take back what files said."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the folder."""

    path: Path
    digest: str
    """SHA-256 of its name."""
    mark: str
    """The state it is in."""


class Folder:
    """Looks through a folder. One thread uses it."""

    def __init__(
        self,
        root: Path,
        entries: Entries,
        reasons: Path,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._root = root
        self._entries = entries
        self._reasons = reasons
        self._is_stopping = is_stopping
        self._last: dict[str, str] = {}
        self._rejected: dict[str, tuple[str, str]] = {}
        self._told = ""
        self.count = 0

    @property
    def rejected(self) -> int:
        """How many files cannot be read."""
        return len(self._rejected)

    def look(self, now: float) -> None:
        """Bring the worklist to what the folder says.

        A file is read once it was the same at two looks. Raises StorageFault when the folder is
        not there: then every entry stays.
        """
        found = {one.digest: one for one in self._files()}
        self.count = len(found)
        known = self._entries.files()
        if gone := [digest for digest in known if digest not in found]:
            self._entries.forget_files(gone, now)
        self._rejected = {
            digest: why
            for digest, why in self._rejected.items()
            if digest in found and found[digest].mark == why[0]
        }
        for digest, one in found.items():
            if self._is_stopping():
                return
            is_still = self._last.get(digest) == one.mark
            if is_still and known.get(digest) != one.mark and digest not in self._rejected:
                self._read(one, now)
        self._last = {digest: one.mark for digest, one in found.items()}
        self._tell(found)

    def _read(self, one: Found, now: float) -> None:
        try:
            items = of_file(_bytes_of(one.path))
        except CannotUnderstand as fault:
            # What it said before may be wrong by now: a scanner shall not be told it any longer.
            self._entries.forget_files([one.digest], now)
            self._rejected[one.digest] = (one.mark, str(fault))
            return
        except FileNotFoundError:
            return
        except OSError as fault:
            self._rejected[one.digest] = (one.mark, fault.strerror or "cannot be read")
            return
        drafts = [Draft(item, "folder", file=one.digest, mark=one.mark) for item in items]
        self._entries.put_file(one.digest, drafts, now)

    def _files(self) -> Iterator[Found]:
        try:
            with os.scandir(self._root) as inside:
                for number, entry in enumerate(inside):
                    if number >= MOST_FILES:
                        raise StorageFault(f"{self._root} has more than {MOST_FILES} files")
                    if found := _found(entry):
                        yield found
        except OSError as fault:
            raise StorageFault(f"{self._root} cannot be read: {fault.strerror}") from fault

    def _tell(self, found: dict[str, Found]) -> None:
        lines = sorted(
            f"{found[digest].path.name!a}: {words}" for digest, (_, words) in self._rejected.items()
        )
        text = "\n".join([*lines, ""]) if lines else ""
        if text == self._told:
            return
        try:
            if text:
                self._reasons.write_text(text, "utf-8")
                self._reasons.chmod(0o600)
            else:
                self._reasons.unlink(missing_ok=True)
        except OSError as fault:
            raise StorageFault(f"{self._reasons} cannot be written: {fault.strerror}") from fault
        self._told = text


def _found(entry: os.DirEntry[str]) -> Found | None:
    if not entry.name.lower().endswith(SUFFIXES) or entry.name.startswith("."):
        return None
    try:
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    digest = hashlib.sha256(os.fsencode(entry.name)).hexdigest()
    mark = f"{facts.st_size}-{facts.st_ino}-{facts.st_mtime_ns}"
    return Found(Path(entry.path), digest, mark)


def _bytes_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        data = stream.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise CannotUnderstand(f"it is larger than {LARGEST_BYTES >> 20} MiB")
    return data
