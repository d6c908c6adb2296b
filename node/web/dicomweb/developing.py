"""The child that works with pixels: it decodes frames and makes pictures.

It reads a line of JSON and the bytes that go with it from standard input, answers the same way,
and ends with its input. See node/web/dicomweb/darkroom.py for why it is a process.
"""

import json
import os
import resource
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Final

from dicom.errors import Fault
from node.logs import configure
from node.web.dicomweb import picture
from node.web.dicomweb.pixels import decoded, described, little_endian
from node.web.dicomweb.rendering import rendered
from node.web.dicomweb.wish import Wish

NICENESS: Final = 5
"""Whoever waits at the door comes first."""
MEMORY_LIMIT_BYTES: Final = 4 << 30
"""The largest frame takes a tenth of it in most steps."""

Blobs = Sequence[bytes]
Task = Mapping[str, Any]


def _decode(task: Task, blobs: Blobs) -> bytes:
    """Give one compressed frame native, in little endian: its head, its bytes; `syntax`."""
    head = described(blobs[0], task["syntax"])
    return little_endian(decoded(head, task["syntax"], blobs[1], raw=True), head)


def _render(task: Task, blobs: Blobs) -> bytes:
    """Make a picture of one frame: its head, its bytes; `syntax`, `number`, `native`, `wish`."""
    wish = Wish.of(task["wish"])
    head = described(blobs[0], task["syntax"])
    shown = rendered(head, task["syntax"], blobs[1], task["number"], wish, native=task["native"])
    return picture.encoded(shown, wish.media_type, wish.quality)


TASKS: Final[Mapping[str, Callable[[Task, Blobs], bytes]]] = {
    "decode": _decode,
    "render": _render,
}


def answer(task: Task, blobs: Blobs) -> tuple[dict[str, object], bytes]:
    """Do one task; what cannot be done is told in words that quote nothing of the object."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a codec finds odd, nobody reads here
            done = TASKS[task["do"]](task, blobs)
    except Fault as fault:
        return {"size": 0, "fault": str(fault)}, b""
    except Exception as fault:  # noqa: BLE001  (codecs raise anything; a value of theirs may be PHI)
        words = f"its pixels cannot be read here ({type(fault).__name__})"
        return {"size": 0, "fault": words}, b""
    return {"size": len(done)}, done


def serve(asked: BinaryIO, told: BinaryIO) -> None:
    """Answer until there is nothing more to read."""
    while line := asked.readline():
        task = json.loads(line)
        blobs = [asked.read(size) for size in task["sizes"]]
        head, body = answer(task, blobs)
        told.write(json.dumps(head).encode("ascii") + b"\n")
        told.write(body)
        told.flush()


def main() -> None:
    """Be the child."""
    configure("error")  # what a library says of an object may quote it (P6)
    os.nice(NICENESS)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, hard))
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not do it into the answers
    serve(sys.stdin.buffer, output)


if __name__ == "__main__":
    main()
