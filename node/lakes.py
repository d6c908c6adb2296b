"""Where the tables of a lake lie, and the SQL that makes them known there."""

from contextlib import closing
from typing import Final
from urllib.parse import unquote, urlsplit

from config.destinations import FolderDestination, ObjectStoreDestination
from config.model import Settings
from dicom.errors import ConfigFault
from node.ledger import open_ledger
from storage.lake.ddl import Engine, Whereabouts, statement
from storage.lake.paths import folder

_READS: Final = {
    "athena": ("s3",),
    "bigquery": ("gs",),
    "duckdb": ("s3", "gs", "az", ""),
}
"""Where each engine reads from, by the schemes of URLs; "" for a folder."""


def statements(settings: Settings, name: str, engine: Engine) -> list[str]:
    """Write what makes each table of a lake known to an engine.

    Raises ConfigFault where the engine cannot read from the lake's destination, or a fault of the
    ledger.
    """
    lake = settings.lakes[name]
    root = _root(settings, lake.destination)
    if urlsplit(root).scheme not in _READS[engine]:
        wanted = " or ".join(f"{each}://" for each in _READS[engine])
        words = f"{engine} reads from {wanted}, and this lake lies in {lake.destination}"
        raise ConfigFault([(f"lakes.{name}.destination", words)])
    with closing(open_ledger(settings)) as ledger:
        found = []
        for table in lake.exported:
            files = ledger.lakes.files(name, table)
            dates = {one.date for one in files}
            modalities = {one.modality for one in files}
            where = Whereabouts(name, table, f"{root}/{folder(name, table)}", dates, modalities)
            found.append(statement(where, engine))
        return found


def _root(settings: Settings, name: str) -> str:
    destination = settings.destinations[name]
    if isinstance(destination, FolderDestination):
        return str(destination.path.absolute())
    assert isinstance(destination, ObjectStoreDestination)  # config/lake_checks.py
    url = destination.url.rstrip("/")
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" else url
