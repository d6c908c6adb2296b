"""Debian's Orthanc as a real PACS."""

import contextlib
import json
import os
import signal
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.peers.process import answers, debian, free_port
from examples.peers.process import running as process

_WEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True, slots=True)
class Orthanc:
    """A running PACS, and what its REST interface tells."""

    name: str
    aet: str
    host: str
    port: int
    http_port: int
    pids: list[int] = field(default_factory=list)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        os.kill(self.pids[-1], signal.SIGKILL)

    @property
    def web_url(self) -> str:
        """Where its DICOMweb plugin answers, if it runs with it."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def ask(self, path: str) -> Any:
        """GET a JSON resource."""
        return json.loads(self.get(path))

    def get(self, path: str) -> bytes:
        """GET any resource."""
        url = f"http://127.0.0.1:{self.http_port}{path}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            body: bytes = answer.read()
            return body

    def received(self) -> list[str]:
        """List the SOP Instance UIDs that it holds."""
        found = self.ask("/instances?expand")
        return [one["MainDicomTags"]["SOPInstanceUID"] for one in found]

    def fetch(self, sop_instance_uid: str) -> bytes:
        """Give one object as a Part 10 file."""
        for one in self.ask("/instances?expand"):
            if one["MainDicomTags"]["SOPInstanceUID"] == sop_instance_uid:
                return self.get(f"/instances/{one['ID']}/file")
        raise KeyError(sop_instance_uid)

    def add(self, part10: bytes) -> None:
        """Put a Part 10 file in by REST."""
        self._send("POST", "/instances", part10)

    def introduce(self, aet: str, port: int) -> None:
        """Tell it of a node on loopback, which it then knows as "node"."""
        self.add_modality("node", aet, port)

    def add_modality(self, name: str, aet: str, port: int) -> None:
        """Tell it of another AE on loopback."""
        self._send("PUT", f"/modalities/{name}", json.dumps([aet, self.host, port]).encode())

    def request_commitment(self, references: list[tuple[str, str]]) -> str:
        """Have it ask the node for storage commitment; gives where its REST tells the outcome."""
        body = json.dumps({"DicomInstances": references}).encode()
        answer = self._send("POST", "/modalities/node/storage-commitment", body)
        path: str = json.loads(answer)["Path"]
        return path

    def query(self, level: str, keys: Mapping[str, str]) -> list[dict[str, str]]:
        """Have it ask the node by C-FIND; gives each answer's values by keyword."""
        body = json.dumps({"Level": level, "Query": dict(keys)}).encode()
        path = json.loads(self._send("POST", "/modalities/node/query", body))["Path"]
        found: list[dict[str, str]] = self.ask(f"{path}/answers?expand&simplify")
        return found

    def store_all(self, aet: str, port: int) -> None:
        """Send everything it holds to a node on loopback; raises HTTPError if any is refused."""
        self.introduce(aet, port)
        self._send("POST", "/modalities/node/store", json.dumps(self.ask("/instances")).encode())

    def _send(self, method: str, path: str, body: bytes) -> bytes:
        url = f"http://127.0.0.1:{self.http_port}{path}"
        request = urllib.request.Request(url, body, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            heard: bytes = answer.read()
            return heard


def binary() -> str | None:
    """Find Orthanc where Debian puts it."""
    return debian("Orthanc")


def web_plugin() -> Path | None:
    """Find the DICOMweb plugin where Debian puts it."""
    return _WEB_PLUGIN if _WEB_PLUGIN.is_file() else None


@contextlib.contextmanager
def running(
    directory: Path,
    *,
    port: int | None = None,
    aet: str = "ORTHANC",
    web: bool = False,
    more: Mapping[str, Any] | None = None,
) -> Iterator[Orthanc]:
    """Run it on loopback until the block ends; data, config and log lie in `directory`.

    With its DICOMweb plugin where `web` is true; `more` are further keys of its configuration.
    """
    found = binary()
    if found is None:
        raise FileNotFoundError("Orthanc is not installed (Debian: apt-get install orthanc)")
    plugin = web_plugin()
    if web and plugin is None:
        raise FileNotFoundError("no DICOMweb plugin (Debian: apt-get install orthanc-dicomweb)")
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    facts = Orthanc("Orthanc", aet, "127.0.0.1", port or free_port(), free_port())
    config = directory / "orthanc.json"
    config.write_text(json.dumps({
        "Name": "penumbra-peer", "StorageDirectory": str(directory / "db"),
        "IndexDirectory": str(directory / "db"), "DicomAet": aet, "DicomPort": facts.port,
        "DicomCheckCalledAet": False, "DicomAlwaysAllowEcho": True, "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "UnknownSopClassAccepted": True, "HttpPort": facts.http_port,
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        "Plugins": [str(plugin)] if web else [], "DicomWeb": {"Enable": web},
        "DefaultEncoding": "Utf8", "HttpServerEnabled": True, "OverwriteInstances": False,
        **(more or {}),
    }))  # fmt: skip
    with process(
        [found, config],
        ready=lambda: answers(facts.http_port) and answers(facts.port),
        log=directory / "orthanc.log",
        # Debian's DCMTK otherwise waits 40 ms for every answer.
        env={"TCP_NODELAY": "1", "LC_ALL": "C.UTF-8"},
    ) as child:
        facts.pids.append(child.pid)
        yield facts
