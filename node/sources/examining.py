"""Look into files from outside in a process of its own: nobody knows what they are.

The door that found them asks by a JSON line and is answered by one. Memory is bounded; a file that
kills or hangs the process is that file's fault, and takes nothing else down.
"""

import hashlib
import json
import mmap
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from dicom.errors import CannotUnderstand, Fault, StorageFault
from dicom.incoming import Incoming, examine
from node.line_pipe import Gone, LinePipe
from node.sources.place import Unreadable

TIMEOUT_S: Final = 60.0
SLOWEST_BYTES_PER_S: Final = 20e6
MEMORY_LIMIT_BYTES: Final = 2 << 30
"""Of which the largest picture that is taken needs a quarter."""
MOST_IMAGE_BYTES: Final = 300 << 20
NICENESS: Final = 5
UNREADABLE: Final = "unreadable"


@dataclass(frozen=True, slots=True)
class Seen:
    """A file at the moment when it was looked at: changed since, it is another one."""

    inode: int
    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, facts: os.stat_result) -> "Seen":
        """Take it from what the system says of a file."""
        return cls(facts.st_ino, facts.st_size, facts.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Examined:
    """What a file is, and when it was."""

    incoming: Incoming
    seen: Seen


class Examiner:
    """A child process that looks into files, started when first asked. One thread uses it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe: LinePipe | None = None

    def examine(self, file: Path, size_bytes: int) -> Examined:
        """Say what a DICOM file is. Raises CannotUnderstand, StorageFault or Unreadable."""
        answer = self._ask({"object": str(file)}, size_bytes)
        return Examined(Incoming(**answer["incoming"]), Seen(**answer["seen"]))

    def convert(self, image: Path, sidecar: Path, out: Path, source: str, size_bytes: int) -> None:
        """Make a Part 10 file of an image and its sidecar. Raises as `examine` does."""
        asked = {"image": str(image), "sidecar": str(sidecar), "out": str(out), "source": source}
        self._ask(asked, size_bytes)

    def close(self) -> None:
        """End the child. May be called twice."""
        child, self._child, self._pipe = self._child, None, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            pipe.close()

    def _ask(self, asked: dict[str, str], size_bytes: int) -> dict[str, Any]:
        line = json.dumps(asked).encode("ascii") + b"\n"
        try:
            pipe = self._started()
            pipe.send(line, TIMEOUT_S)
            heard = pipe.receive(time.monotonic() + TIMEOUT_S + size_bytes / SLOWEST_BYTES_PER_S)
            answer: dict[str, Any] = json.loads(heard)
        except (Gone, ValueError) as fault:
            self.close()
            raise CannotUnderstand("looking into it kills or hangs the process") from fault
        if "fault" in answer:
            code, words = answer["fault"]
            if code == UNREADABLE:
                raise Unreadable(words)
            raise StorageFault(words) if code == StorageFault.code else CannotUnderstand(words)
        return answer

    def _started(self) -> LinePipe:
        if self._pipe is None or self._child is None or self._child.poll() is not None:
            self.close()
            command = [sys.executable, "-m", "node.sources.examining"]
            try:
                self._child = subprocess.Popen(
                    command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            except OSError as fault:
                words = f"no process can be started to look into files: {fault.strerror}"
                raise StorageFault(words) from fault
            self._pipe = LinePipe(self._child, lambda: None)
        return self._pipe


def look_into(file: Path) -> Examined:
    """Say what a DICOM file is. Raises CannotUnderstand, OSError."""
    with file.open("rb") as stream:
        facts = os.fstat(stream.fileno())
        if not facts.st_size:
            raise CannotUnderstand("the file is empty")
        # Not closed here: what is raised below may still hold on to a piece of it.
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return Examined(examine(memoryview(mapped), lambda: file.open("rb")), Seen.of(facts))


def convert(image: Path, sidecar: Path, out: Path, source: str) -> None:
    """Make a Part 10 file of an image and its sidecar. Raises CannotUnderstand, OSError."""
    from dicom import capture
    from dicom.uid import derive
    from node.sources import picture
    from node.sources import sidecar as sidecars

    with sidecar.open("rb") as stream:
        text = stream.read(sidecars.MOST_BYTES + 1)
    said = sidecars.read(text)
    with image.open("rb") as stream:
        pixels = stream.read(MOST_IMAGE_BYTES + 1)
    if len(pixels) > MOST_IMAGE_BYTES:
        raise CannotUnderstand(f"the image has more than {MOST_IMAGE_BYTES >> 20} MB")
    taken = picture.read(pixels)
    is_x_ray = said.kind == "dx"
    if is_x_ray and taken.samples != 1:
        raise CannotUnderstand('the image is in colour, and "as": "dx" is grey')
    # Everything that makes the object what it is: a sidecar that was mended makes another one.
    facts = said.model_dump()
    whole = json.dumps(facts, sort_keys=True, ensure_ascii=True)
    digest = hashlib.sha256(pixels).hexdigest()
    accession = said.AccessionNumber
    of_study = ("accession", accession, said.PatientID) if accession else ("image", digest, whole)
    study = said.StudyInstanceUID or derive("penumbra study", source, *of_study)
    of_series = (study, said.kind, said.SeriesDescription, str(said.SeriesNumber))
    uids = capture.Uids(
        study,
        said.SeriesInstanceUID or derive("penumbra series", source, *of_series),
        said.SOPInstanceUID or derive("penumbra instance", source, digest, whole),
    )
    made = capture.part10(taken, facts, uids, is_x_ray=is_x_ray)
    try:
        out.write_bytes(made)
    except OSError as fault:
        raise StorageFault(f"{out} cannot be written: {fault.strerror}") from fault


def _answer(asked: dict[str, str]) -> dict[str, Any]:
    try:
        if "object" in asked:
            found = look_into(Path(asked["object"]))
            return {"incoming": asdict(found.incoming), "seen": asdict(found.seen)}
        convert(Path(asked["image"]), Path(asked["sidecar"]), Path(asked["out"]), asked["source"])
    except Fault as fault:
        return {"fault": [fault.code, str(fault)]}
    except OSError as fault:
        return {"fault": [UNREADABLE, str(fault.strerror)]}
    except Exception as bug:  # noqa: BLE001  (one strange file shall not stop all others)
        return {"fault": ["cannot-understand", f"cannot be read ({type(bug).__name__})"]}
    return {}


def main() -> None:
    """Answer requests until standard input ends."""
    from node.logs import configure

    configure("error")  # what a library says of a file may quote it (P6)
    os.nice(NICENESS)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, hard))
    for line in sys.stdin.buffer:
        sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
