"""The best PACS that this machine offers: Orthanc, else DCMTK's storescp, else pynetdicom's."""

from contextlib import AbstractContextManager
from pathlib import Path

from examples.peers import folder_pacs, orthanc
from examples.peers.process import debian

Pacs = orthanc.Orthanc | folder_pacs.FolderPacs
"""What each of them tells: name, aet, host, port, received(), fetch(uid)."""


def running(
    directory: Path, *, port: int | None = None, aet: str = "PACS"
) -> AbstractContextManager[Pacs]:
    """Run a PACS on loopback until the block ends; data and log lie in `directory`."""
    if orthanc.binary() is not None:
        return orthanc.running(directory, port=port, aet=aet)
    if debian("storescp") is not None:
        return folder_pacs.running_storescp(directory, port=port, aet=aet)
    return folder_pacs.running_pynetdicom(directory, port=port, aet=aet)
