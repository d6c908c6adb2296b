"""PACS that keep files in a folder: DCMTK's storescp, and one of pynetdicom's in a process."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.errors import InvalidDicomError
from pynetdicom import AllStoragePresentationContexts, evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.ae import ApplicationEntity

from examples.peers.process import answers, debian, free_port
from examples.peers.process import running as process


@dataclass(frozen=True, slots=True)
class FolderPacs:
    """A running storage SCP, and the folder that it fills."""

    name: str
    aet: str
    host: str
    port: int
    folder: Path

    def received(self) -> list[str]:
        """List the SOP Instance UIDs that it holds."""
        return [uid for uid, _ in self._files()]

    def fetch(self, sop_instance_uid: str) -> bytes:
        """Give one object as a Part 10 file."""
        return dict(self._files())[sop_instance_uid].read_bytes()

    def _files(self) -> list[tuple[str, Path]]:
        found: list[tuple[str, Path]] = []
        for file in self.folder.rglob("*.*"):
            # storescp writes in place: what is being written is not received yet.
            with contextlib.suppress(InvalidDicomError, FileNotFoundError, AttributeError):
                head = dcmread(file, specific_tags=["SOPInstanceUID"])
                found.append((str(head.SOPInstanceUID), file))
        return found


@contextlib.contextmanager
def running_storescp(
    directory: Path,
    *,
    port: int | None = None,
    aet: str = "STORESCP",
    more: Sequence[str | Path] = (),
) -> Iterator[FolderPacs]:
    """Run DCMTK's storescp on loopback until the block ends; `more` are further options."""
    found = debian("storescp")
    if found is None:
        raise FileNotFoundError("storescp is not installed (Debian: apt-get install dcmtk)")
    facts = _facts("DCMTK storescp", directory, port, aet)
    with process(
        [found, "--fork", "+xa", "--bit-preserving", *more, "-aet", aet, "-od", facts.folder,
         str(facts.port)],
        ready=lambda: answers(facts.port),
        log=directory / "storescp.log",
        env={"TCP_NODELAY": "1"},
    ):  # fmt: skip
        yield facts


@contextlib.contextmanager
def running_pynetdicom(
    directory: Path,
    *,
    port: int | None = None,
    aet: str = "PYNETDICOM",
    status: int = 0,
    abort_after: int = 0,
    hang: bool = False,
    rejects: bool = False,
) -> Iterator[FolderPacs]:
    """Run pynetdicom's storage SCP in a process of its own until the block ends.

    `status` is answered to every object; other than 0, nothing is kept. It aborts after
    `abort_after` objects, never answers where `hang` is true, or takes no association at all.
    """
    facts = _facts("pynetdicom", directory, port, aet)
    with process(
        [sys.executable, "-m", "examples.peers.folder_pacs", facts.folder, str(facts.port), aet,
         str(status), str(abort_after), str(int(hang)), str(int(rejects))],
        ready=lambda: answers(facts.port),
        log=directory / "pynetdicom.log",
        cwd=Path(__file__).parents[2],
    ):  # fmt: skip
        yield facts


def _facts(name: str, directory: Path, port: int | None, aet: str) -> FolderPacs:
    folder = directory.absolute() / "files"
    folder.mkdir(parents=True, exist_ok=True)
    return FolderPacs(name, aet, "127.0.0.1", port or free_port(), folder)


def _serve(folder: Path, port: int, aet: str, *behaviour: int) -> None:
    status, abort_after, hang, rejects = behaviour
    entity = ApplicationEntity(aet)
    if rejects:
        entity.require_calling_aet = ["NOBODY"]
    for context in AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax, ALL_TRANSFER_SYNTAXES)
    entity.add_supported_context("1.2.840.10008.1.1")
    seen = 0

    def store(event: evt.Event) -> int:
        nonlocal seen
        seen += 1
        if hang:
            event.assoc.dul.join()
        if abort_after and seen > abort_after:
            event.assoc.abort()
            return 0xC000
        if status == 0:
            name = folder.parent / f"{event.request.AffectedSOPInstanceUID}.dcm"
            name.write_bytes(event.encoded_dataset())
            name.rename(folder / name.name)  # so that whoever looks sees whole files only
        return status

    entity.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store)])


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:8]))
