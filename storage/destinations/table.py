"""The table of destination kinds: a new kind is a file here and a row below."""

from collections.abc import Callable, Mapping

from config.destinations import Destination as Settings
from config.destinations import (
    DicomDestination,
    FolderDestination,
    ObjectStoreDestination,
    StowDestination,
)
from config.model import Peer
from config.shapes import Secret
from dicom.errors import ConfigFault
from storage.destinations.base import Destination
from storage.destinations.dicom import DicomPeer
from storage.destinations.folder import Folder
from storage.destinations.object_store import ObjectStore
from storage.destinations.stow import Stow

ReadSecret = Callable[[Secret], bytes]


def open_destination(
    name: str,
    settings: Settings,
    *,
    peers: Mapping[str, Peer],
    ae_title: str,
    read_secret: ReadSecret,
) -> Destination:
    """Make a destination of its [destinations.NAME] table; nothing connects yet.

    `ae_title` is the title under which the node calls its peers. Raises Refused when the table
    cannot work, ConfigFault when a secret or the peer is missing.
    """
    if isinstance(settings, FolderDestination):
        return Folder(name, settings)
    if isinstance(settings, ObjectStoreDestination):
        return ObjectStore(name, settings, read_secret)
    if isinstance(settings, StowDestination):
        return Stow(name, settings, read_secret)
    assert isinstance(settings, DicomDestination)
    if settings.peer not in peers:
        raise ConfigFault([(f"destinations.{name}.peer", f"there is no [peers.{settings.peer}]")])
    return DicomPeer(name, settings, peers[settings.peer], ae_title)
