"""Open a destination of the config file, for whoever delivers to it or asks it."""

from config import secrets
from config.model import Settings
from dicom.errors import ConfigFault
from storage.destinations.base import Destination
from storage.destinations.table import open_destination


def destination(settings: Settings, name: str) -> Destination:
    """Open a destination by its name; nothing connects yet.

    Raises ConfigFault when the config no longer has it or a secret is missing, Refused when its
    table cannot work.
    """
    if name not in settings.destinations:
        raise ConfigFault([(f"destinations.{name}", "is owed to but not in the config")])
    return open_destination(
        name,
        settings.destinations[name],
        peers=settings.peers,
        ae_title=settings.node.ae_title,
        read_secret=secrets.read,
    )
