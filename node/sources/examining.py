"""Look into files from outside in a process of its own: nobody knows what they are.

The door that found them asks by a JSON line and is answered by one. Memory is bounded; a file that
kills or hangs the process is that file's fault, and takes nothing else down.
"""

import errno
import hashlib
import json
import mmap
import os
import resource
import stat
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final

from dicom.errors import CannotUnderstand, Fault, StorageFault
from dicom.incoming import Incoming, examine
from node.line_pipe import Gone, LinePipe, end
from node.sources.place import Changed, Local, Unreadable, state_of

TIMEOUT_S: Final = 60.0
SLOWEST_BYTES_PER_S: Final = 20e6
MEMORY_LIMIT_BYTES: Final = 2 << 30
"""Of which the largest picture that is taken needs a quarter."""
MOST_IMAGE_BYTES: Final = 300 << 20
NICENESS: Final = 5
UNREADABLE: Final = "unreadable"


class Examiner:
    """A child process that looks into files, started when first asked. One thread uses it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe: LinePipe | None = None

    def examine(self, file: Local, size_bytes: int) -> Incoming:
        """Say what a DICOM file is.

        Raises CannotUnderstand, StorageFault, Unreadable, and Changed where it is another by now.
        """
        answer = self._ask({"object": str(file.path)}, size_bytes)
        _require(answer, file)
        return Incoming(**answer["incoming"])

    def convert(
        self, image: Local, sidecar: Local, out: Path, source: str, size_bytes: int
    ) -> None:
        """Make a Part 10 file of an image and its sidecar. Raises as `examine` does."""
        asked = {
            "image": str(image.path), "sidecar": str(sidecar.path), "out": str(out),
            "source": source,
        }  # fmt: skip
        _require(self._ask(asked, size_bytes), image, sidecar)

    def close(self) -> None:
        """End the child. May be called twice."""
        child, self._child, self._pipe = self._child, None, None
        if child is not None:
            end(child)

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


def _require(answer: dict[str, Any], *files: Local) -> None:
    if answer["seen"] != [file.state for file in files]:
        raise Changed


def _open(file: Path) -> tuple[BinaryIO, str]:
    """Open a regular file, never by a link, and say in what state it is."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file any more")
    return os.fdopen(descriptor, "rb"), state_of(facts)


def look_into(file: Path) -> tuple[Incoming, str]:
    """Say what a DICOM file is, and in what state it was. Raises CannotUnderstand, OSError."""
    stream, state = _open(file)
    with stream:
        if not os.fstat(stream.fileno()).st_size:
            raise CannotUnderstand("the file is empty")
        # Not closed here: what is raised below may still hold on to a piece of it.
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

        def reopen() -> BinaryIO:
            again = os.fdopen(os.dup(stream.fileno()), "rb")
            again.seek(0)
            return again

        return examine(memoryview(mapped), reopen), state


def convert(image: Path, sidecar: Path, out: Path, source: str) -> tuple[str, str]:
    """Make a Part 10 file of an image and its sidecar; says in what states they were.

    Raises CannotUnderstand, OSError.
    """
    from dicom import capture
    from dicom.uid import derive
    from node.sources import picture
    from node.sources import sidecar as sidecars

    stream, state_of_sidecar = _open(sidecar)
    with stream:
        text = stream.read(sidecars.MOST_BYTES + 1)
    said = sidecars.read(text)
    stream, state_of_image = _open(image)
    with stream:
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
    return state_of_image, state_of_sidecar


def _answer(asked: dict[str, str]) -> dict[str, Any]:
    try:
        if "object" in asked:
            incoming, state = look_into(Path(asked["object"]))
            return {"incoming": asdict(incoming), "seen": [state]}
        image, sidecar, out = (Path(asked[key]) for key in ("image", "sidecar", "out"))
        return {"seen": convert(image, sidecar, out, asked["source"])}
    except Fault as fault:
        return {"fault": [fault.code, str(fault)]}
    except OSError as fault:
        return {"fault": [UNREADABLE, str(fault.strerror)]}
    except Exception as bug:  # noqa: BLE001  (one strange file shall not stop all others)
        return {"fault": ["cannot-understand", f"cannot be read ({type(bug).__name__})"]}


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
