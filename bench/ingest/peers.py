"""The storage SCPs that are compared: how each is started, and what it needs to be there."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.ingest.native import Programs
from examples.peers.process import debian

CALLED = "BENCH"
"""The AE title of every peer."""
NODELAY = {"TCP_NODELAY": "1"}
"""Debian's DCMTK, also inside Orthanc, otherwise lets the last part of an answer wait 40 ms."""
SYNCS_ENTRY = {"ext4", "btrfs", "xfs"}
"""File systems on which the sync of a new file takes its directory entry with it."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where one server runs: an empty folder of its own, and its ports."""

    folder: Path
    port: int
    http_port: int
    programs: Programs
    file_system: str

    def file(self, name: str, text: str) -> Path:
        """Write a file, such as a config, into the folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def inside(self, name: str) -> Path:
        """Make a folder in the folder."""
        path = self.folder / name
        path.mkdir()
        return path


@dataclass(frozen=True, slots=True)
class Peer:
    """A storage SCP and the way to start it."""

    name: str
    title: str
    durable: bool
    """Whether Success means that the object is on disk."""
    command: Callable[[Site], list[str | Path]]
    env: Callable[[Site], Mapping[str, str]] = field(default=lambda _: {})
    waits: bool = False
    """Whether it lets the last part of each answer wait 40 ms for the client's acknowledgement."""
    package: str = ""
    program: str = ""

    def missing(self) -> str:
        """Say in words why it cannot run here; "" where it can."""
        if self.program and debian(self.program) is None:
            return f"{self.program} is not installed (Debian: apt-get install {self.package})"
        return ""


NODE = """
[node]
ae_title = "{called}"
host = "127.0.0.1"
port = {site.port}
data_dir = "var"
accept_unknown_callers = true
[http]
port = {site.http_port}
[settle]
quiet_s = 600
release_s = {release_s}
"""
"""Defaults, but for ports, names, and Series that do not settle while it is measured."""


def node_config(site: Site, tables: str = "", release_s: float = 600) -> Path:
    """Write the node's config, with more tables where a measurement needs them."""
    base = NODE.format(called=CALLED, site=site, release_s=release_s)
    return site.file("node.toml", base + tables)


def node_command(config: Path) -> list[str | Path]:
    """Run the whole node, as an administrator does."""
    return [sys.executable, "-m", "node.cli", "serve", "-c", config]


def _floor(site: Site) -> list[str | Path]:
    return [site.programs.floor, str(site.port), site.folder / "log"]


def _orthanc(site: Site) -> list[str | Path]:
    store = str(site.inside("db"))
    config = {
        "Name": CALLED, "DicomAet": CALLED, "DicomPort": site.port, "HttpPort": site.http_port,
        "StorageDirectory": store, "IndexDirectory": store, "SyncStorageArea": True,
        "DicomAlwaysAllowStore": True, "DicomThreadsCount": 8, "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "Plugins": [],
    }  # fmt: skip
    return [debian("Orthanc") or "Orthanc", site.file("orthanc.json", json.dumps(config))]


def _storescp(site: Site) -> list[str | Path]:
    # +xa: all transfer syntaxes; without it only uncompressed objects are accepted.
    program = debian("storescp") or "storescp"
    return [program, "--fork", "+xa", "-aet", CALLED, "-od", site.inside("files"), str(site.port)]


def _durable(site: Site) -> Mapping[str, str]:
    folders = "0" if site.file_system in SYNCS_ENTRY else "1"
    return {**NODELAY, "LD_PRELOAD": str(site.programs.durable), "SYNC_FOLDERS": folders}


def _pynetdicom(site: Site) -> list[str | Path]:
    module = [sys.executable, "-m", "pynetdicom", "storescp"]
    return [*module, str(site.port), "-aet", CALLED, "-od", site.inside("files"), "-q"]


PEERS = {
    each.name: each
    for each in (
        Peer("floor", "the floor", True, _floor),
        Peer("node", "Penumbra", True, lambda site: node_command(node_config(site))),
        Peer("orthanc", "Orthanc, as it starts", True, _orthanc, waits=True,
             package="orthanc", program="Orthanc"),
        Peer("orthanc-nodelay", "Orthanc, TCP_NODELAY=1", True, _orthanc, lambda _: NODELAY,
             package="orthanc", program="Orthanc"),
        Peer("storescp", "DCMTK storescp, as it starts", False, _storescp, waits=True,
             package="dcmtk", program="storescp"),
        Peer("storescp-nodelay", "DCMTK storescp, TCP_NODELAY=1", False, _storescp,
             lambda _: NODELAY, package="dcmtk", program="storescp"),
        Peer("storescp-durable", "DCMTK storescp, made durable", True, _storescp, _durable,
             package="dcmtk", program="storescp"),
        Peer("pynetdicom", "pynetdicom storescp", False, _pynetdicom),
    )
}  # fmt: skip
