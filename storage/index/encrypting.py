"""An index file that is encrypted at rest, by DuckDB, which needs its extension httpfs to write it.

The extension holds the cryptography of OpenSSL. It is loaded from this machine alone: a node
fetches nothing by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import duckdb

from dicom.errors import ConfigFault

NAME: Final = "store"
"""The name of an encrypted file among a connection's databases."""
_PACKAGE: Final = "duckdb_extension_httpfs"


@dataclass(frozen=True, slots=True)
class IndexKeys:
    """The keys of the index, as hexadecimal text: "" stands for a file in the clear."""

    current: str = ""
    others: Sequence[str] = ()
    """Those that an older file may have; it is copied into a new one then."""

    def __repr__(self) -> str:
        """Tell no key."""
        return "IndexKeys(...)"


def load(connection: duckdb.DuckDBPyConnection) -> None:
    """Load what writing an encrypted file needs. Raises ConfigFault with what to do."""
    for name in (*_files(), "httpfs"):
        try:
            connection.execute(f"LOAD '{name}'")
        except duckdb.Error:
            continue
        return
    version = duckdb.__version__
    words = (
        f"DuckDB {version} writes encrypted files only with its extension httpfs, which is not on"
        f" this machine: install the package duckdb-extension-httpfs=={version}, or run once, with"
        " a connection to the internet and as the node's user, python -c \"import duckdb;"
        " duckdb.connect().execute('INSTALL httpfs')\"; or leave encrypt_index out and keep"
        " data_dir on an encrypted disk"
    )
    raise ConfigFault([("node.encrypt_index", words)])


def _files() -> list[str]:
    """Find the extension where its Python package keeps it."""
    spec = find_spec(_PACKAGE)
    folders = spec.submodule_search_locations or [] if spec else []
    version = f"v{duckdb.__version__}"
    return [
        str(file)
        for folder in folders
        for file in Path(folder).glob(f"extensions/{version}/*.duckdb_extension")
    ]


def attach(connection: duckdb.DuckDBPyConnection, path: Path, key: str, name: str = NAME) -> None:
    """Attach a file, with its key where it has one."""
    where = str(path).replace("'", "''")
    option = f" (ENCRYPTION_KEY '{key}')" if key else ""
    connection.execute(f"ATTACH '{where}' AS {name}{option}")
