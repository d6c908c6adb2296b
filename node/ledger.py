"""Open the ledger that the config file names: SQLite in data_dir, or PostgreSQL."""

import uuid
from typing import Any

from config import secrets
from config.model import Settings
from config.shapes import Secret
from dicom.errors import ConfigFault
from storage.ledger.database import FILE_NAME, Server
from storage.ledger.ledger import Ledger
from storage.spool.identity import ensure_identity


def open_ledger(settings: Settings) -> Ledger:
    """Open the ledger that a node made.

    Raises ConfigFault for its password, StorageFault where no node has run or the server is away.
    """
    return Ledger.open_existing(settings.node.data_dir, server_of(settings))


def look_into_ledger(settings: Settings) -> Ledger | None:
    """Open the ledger that a node made; None where none has run. Raises as `open_ledger` does."""
    server, file = server_of(settings), settings.node.data_dir / FILE_NAME
    return None if server is None and not file.exists() else open_ledger(settings)


def open_front_ledger(settings: Settings) -> Ledger:
    """Open or make the ledger for the front, which goes on receiving while a server is away.

    Raises ConfigFault, StorageFault.
    """
    data_dir, server = settings.node.data_dir, server_of(settings)
    if server is not None:
        ensure_identity(data_dir / "spool", uuid.uuid4().hex)
    return Ledger.open(data_dir, server, patient=True)


def server_of(settings: Settings) -> Server | None:
    """Give the server of [ledger]; None where the ledger is SQLite. Raises ConfigFault."""
    ledger = settings.ledger
    return server("ledger", ledger.url, ledger.password)


def server(table: str, url: str | None, secret: Secret | None) -> Server | None:
    """Give the server that a table of the config file names, if it names one."""
    if url is None:
        return None
    if secret is None:
        return Server(url)
    try:
        return Server(url, secrets.read(secret).decode())
    except ConfigFault as fault:
        raise ConfigFault([(f"{table}.password", said) for _, said in fault.problems]) from None
    except UnicodeDecodeError:
        raise ConfigFault([(f"{table}.password", "is no text in UTF-8")]) from None


def summary(settings: Settings) -> dict[str, dict[str, Any]] | None:
    """Count what `penumbra status` shows, without a running node; None where none ever ran."""
    ledger = look_into_ledger(settings)
    if ledger is None:
        return None
    try:
        return ledger.summary()
    finally:
        ledger.close()
