"""A small FHIR server on loopback: it keeps ImagingStudy by conditional update, and misbehaves."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from examples.peers.in_thread import answering

JSON = "application/fhir+json"


@dataclass(slots=True)
class FhirServer:
    """What it holds, and how it shall answer."""

    url: str = ""
    token: str = ""
    """The bearer token that it wants; "" for none."""
    studies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """ImagingStudies by their ids, which it gives out itself."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request."""
    moods: list[str] = field(default_factory=list)
    """What the next updates meet: "503", "500", "409", "422", "412", "drop", one each."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self, identifier: str, resource: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Do a conditional update (R4 3.1.0.4.3)."""
        if resource.get("resourceType") != "ImagingStudy" or "id" in resource:
            return 400, outcome("invalid")
        system, _, value = identifier.partition("|")
        with self.lock:
            fitting = [
                name
                for name, one in self.studies.items()
                if {"system": system, "value": value}.items()
                <= {key: each for one in one["identifier"] for key, each in one.items()}.items()
            ]
            if len(fitting) > 1:
                return 412, outcome("multiple-matches")
            name = fitting[0] if fitting else str(len(self.studies) + 1)
            self.studies[name] = {**resource, "id": name}
            return (200 if fitting else 201), self.studies[name]


def outcome(code: str) -> dict[str, Any]:
    """Say what is wrong, with words that quote a patient, as real servers do."""
    issue = {"severity": "error", "code": code, "diagnostics": "subject Quillobert^Zyx"}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


class _Handler(http.server.BaseHTTPRequestHandler):
    server: "_Http"
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        self._note()
        self._answer(200, {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})

    def do_PUT(self) -> None:
        self._note()
        fhir = self.server.fhir
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fhir.token and self.headers.get("Authorization") != f"Bearer {fhir.token}":
            self._answer(401, outcome("login"))
            return
        mood = fhir.moods.pop(0) if fhir.moods else ""
        if mood == "drop":
            self.close_connection = True
            return
        if mood == "bad":
            self._answer(400, {"issue": "Quillobert"})
            return
        if mood:
            self._answer(int(mood), outcome("processing"))
            return
        parts = urlsplit(self.path)
        identifier = parse_qs(parts.query).get("identifier", [""])[0]
        if not parts.path.endswith("/ImagingStudy") or self.headers["Content-Type"] != JSON:
            self._answer(404, outcome("not-found"))
            return
        self._answer(*fhir.update(identifier, json.loads(body)))

    def _note(self) -> None:
        with self.server.fhir.lock:
            self.server.fhir.asked.append((self.command, self.path))

    def _answer(self, status: int, resource: dict[str, Any]) -> None:
        body = json.dumps(resource).encode()
        self.send_response(status)
        self.send_header("Content-Type", JSON)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    fhir: FhirServer


@contextlib.contextmanager
def running() -> Iterator[FhirServer]:
    """Serve until the block ends."""
    server = _Http(("127.0.0.1", 0), _Handler)
    server.fhir = FhirServer(f"http://127.0.0.1:{server.server_port}/base")
    with answering(server):
        yield server.fhir
