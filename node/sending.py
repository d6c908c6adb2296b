"""Send files by C-STORE over several associations, and note every answer: `penumbra send`."""

import mmap
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom import status
from dicom.errors import CannotUnderstand, DeliveryFault, Refused, Unreachable
from dicom.meta import read_meta
from dicom.peek import HEAD_BYTES, sop_uids
from dicom.scu import Rejected
from dicom.store_answer import judge, row
from dicom.store_scu import RemoteAe, StoreScu
from dicom.wire import AssociationLost

MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
"""A DICOMDIR describes a medium; it is no object to store."""
GIVE_UP_AFTER: Final = 5
"""So many associations lost in a row, and the peer is taken for gone."""
_META_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class File:
    """A file to send, and the UIDs to announce it by."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one file."""

    path: Path
    status: int | None
    """The peer's status; None when there was no answer."""
    words: str
    """Why it was not accepted; "" when it was."""

    @property
    def is_accepted(self) -> bool:
        """Whether the peer has it."""
        return not self.words


def find(paths: Iterable[Path]) -> Iterator[File | Path]:
    """Walk files and folders in order; give a File for each to send, a Path for each to skip."""
    for path in paths:
        for one in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if one.is_file():
                yield describe(one) or one


def describe(path: Path) -> File | None:
    """Read the head of a file; None when it is no storable DICOM file.

    The dataset's own UIDs count, as the receiver compares them with what is announced.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(_META_BYTES + HEAD_BYTES)
        meta = read_meta(head)
    except (OSError, CannotUnderstand):
        return None
    dataset = head[meta.dataset_offset :][:HEAD_BYTES]
    uids = sop_uids(dataset, meta.transfer_syntax_uid)
    sop_class = uids.sop_class_uid or meta.sop_class_uid
    sop_instance = uids.sop_instance_uid or meta.sop_instance_uid
    if not sop_class or not sop_instance or sop_class == MEDIA_DIRECTORY:
        return None
    return File(path, sop_class, sop_instance, meta.transfer_syntax_uid)


def send_all(
    files: Sequence[File],
    peer: RemoteAe,
    *,
    parallel: int,
    tell: Callable[[Answer], object],
    stop: threading.Event,
) -> None:
    """Send files over `parallel` associations at once, telling each answer from its thread.

    Ends early when `stop` is set. Sets it and raises Rejected when the peer takes no association,
    Unreachable when it is taken for gone; files not told of were not sent.
    """
    waiting, lock = iter(files), threading.Lock()
    pairs = [(file.sop_class_uid, file.transfer_syntax_uid) for file in files]

    def share() -> Iterator[File]:
        while not stop.is_set():
            with lock:
                file = next(waiting, None)
            if file is None:
                return
            yield file

    def work() -> None:
        try:
            with closing(StoreScu(peer)) as scu:
                scu.propose(pairs)
                _send_share(scu, share(), tell)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(min(parallel, max(len(files), 1)), "send") as pool:
        lanes = [pool.submit(work) for _ in range(min(parallel, len(files)))]
        try:
            for lane in lanes:
                lane.result()
        except BaseException:  # Ctrl-C among them: the threads end after their files
            stop.set()
            raise


def _send_share(scu: StoreScu, files: Iterable[File], tell: Callable[[Answer], object]) -> None:
    lost = 0
    for file in files:
        code: int | None = None
        try:
            code = _send(scu, file)
            judge(code, file.sop_instance_uid)
        except Rejected:
            raise
        except AssociationLost as fault:
            lost += 1
            tell(Answer(file.path, None, str(fault)))
            if lost >= GIVE_UP_AFTER:
                raise
            continue
        except Unreachable as fault:
            tell(Answer(file.path, None, str(fault)))
            raise
        except DeliveryFault as fault:
            tell(Answer(file.path, code, str(fault)))
        else:
            tell(Answer(file.path, code, ""))
        lost = 0


def _send(scu: StoreScu, file: File) -> int:
    try:
        with file.path.open("rb") as stream:
            whole = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as fault:
        why = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else "empty"
        raise Refused(f"the file cannot be read: {why}") from fault
    return scu.ask(
        [memoryview(whole)],
        sop_class_uid=file.sop_class_uid,
        sop_instance_uid=file.sop_instance_uid,
        transfer_syntax_uid=file.transfer_syntax_uid,
    )


def describe_status(code: int | None) -> str:
    """Name a status for people."""
    if code is None:
        return "no answer"
    if code == status.SUCCESS:
        return "0x0000 success"
    return f"0x{code:04X} {row(code).meaning}"
