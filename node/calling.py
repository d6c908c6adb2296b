"""Call a peer of the config file by its AE title."""

import contextlib
from collections.abc import Iterator, Sequence

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from config.model import Settings
from dicom import scu
from dicom.errors import Refused
from node.admission import table_of
from storage.destinations.dicom import remote_ae


@contextlib.contextmanager
def calling(
    settings: Settings,
    title: str,
    contexts: Sequence[PresentationContext],
    *,
    timeout_s: float,
    provides: Sequence[str] = (),
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Iterator[Association]:
    """Open an association to a peer, and release it when the block ends; see scu.associate.

    Raises Refused, with words that name the setting, where the config does not say how to call it.
    """
    peer = settings.peers.get(title)
    if peer is None:
        raise Refused(f"there is no {table_of(title)}: add it with the host and port to call")
    if peer.host is None or peer.port is None:
        raise Refused(f"{table_of(title)} has no host and port to call: add them")
    remote = remote_ae(title, peer, settings.node.ae_title, timeout_s)
    with scu.associate(
        remote.host, remote.port, called_ae=title, calling_ae=remote.calling_ae,
        contexts=contexts, timeout_s=timeout_s, tls=remote.tls,
        provides=provides, handlers=handlers,
    ) as association:  # fmt: skip
        yield association
