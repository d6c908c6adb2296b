"""A DICOMweb server that answers as a test wants, and a token server; or both before a real one."""

import contextlib
import http.client
import io
import json
import ssl
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pydicom import dcmread

from examples.peers.in_thread import answering

Reply = tuple[int, dict[str, str], bytes]
JSON = {"Content-Type": "application/dicom+json"}


def result(stored: list[str], failed: dict[str, int], status: int = 200) -> Reply:
    """Answer as the Store Instances Response Module (PS3.18 10.5.3)."""
    body: dict[str, Any] = {}
    if stored:
        items = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in stored]
        body["00081199"] = {"vr": "SQ", "Value": items}
    if failed:
        body["00081198"] = {"vr": "SQ", "Value": [
            {"00081155": {"vr": "UI", "Value": [uid]}, "00081197": {"vr": "US", "Value": [code]}}
            for uid, code in failed.items()
        ]}  # fmt: skip
    return status, JSON, json.dumps(body).encode()


@dataclass
class WebPacs:
    """A running server, what it was asked, and what it answers."""

    port: int = 0
    answer: Callable[["WebPacs", list[str]], Reply] = lambda _pacs, uids: result(uids, {})
    """Makes the answer to a STOW-RS request of the SOP Instance UIDs in it."""
    keeps: bool = True
    """Whether what it answers with 200 is there afterwards."""
    most_bytes: int | None = None
    """A longer request is answered 413 before its body was read, and the connection closed."""
    behind: str = ""
    """host:port of a real server that requests are handed on to."""
    client: tuple[str, str] | None = None
    """Id and secret that get a token; without it none is asked for."""
    token_lasts_s: float = 3600.0
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers, in lower case, of each request."""
    batches: list[list[str]] = field(default_factory=list)
    tokens: dict[str, float] = field(default_factory=dict)
    """The tokens that it gave, and when each ends."""
    token_requests: list[dict[str, list[str]]] = field(default_factory=list)

    @property
    def web_url(self) -> str:
        """The service's root."""
        return f"http://127.0.0.1:{self.port}/dicom-web"

    @property
    def token_url(self) -> str:
        """Where tokens are asked for."""
        return f"http://127.0.0.1:{self.port}/token"


@contextlib.contextmanager
def running(pacs: WebPacs, tls: ssl.SSLContext | None = None) -> Iterator[WebPacs]:
    """Run it in threads of this process until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"pacs": pacs}))
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    pacs.port = server.server_address[1]
    with answering(server):
        yield pacs


class _Handler(BaseHTTPRequestHandler):
    pacs: WebPacs
    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name)
        """Say nothing."""

    def do_GET(self) -> None:
        self._asked(b"")

    def do_POST(self) -> None:
        length, most = int(self.headers.get("Content-Length", 0)), self.pacs.most_bytes
        if most is not None and length > most:
            self.send_response(413)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            return
        self._asked(self.rfile.read(length))

    def _asked(self, body: bytes) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.pacs.requests.append((self.command, self.path, headers))
        status, more, answer = self._reply(headers, body)
        if status == 0:  # no answer at all
            self.close_connection = True
            return
        self.send_response(status)
        for key, value in more.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _reply(self, headers: dict[str, str], body: bytes) -> Reply:
        pacs = self.pacs
        if self.path == "/token":
            return self._token(headers, body)
        if pacs.client is not None:
            token = headers.get("authorization", "").removeprefix("Bearer ")
            if pacs.tokens.get(token, 0.0) < time.monotonic():
                return 401, {}, b""
        if pacs.behind:
            return self._handed_on(headers, body)
        if self.command == "POST":
            parts = _parts(headers["content-type"], body)
            pacs.batches.append(list(parts))
            reply = pacs.answer(pacs, list(parts))
            if pacs.keeps and reply[0] == 200:
                pacs.objects |= parts
            return reply
        return self._search()

    def _search(self) -> Reply:
        url, pacs = urlsplit(self.path), self.pacs
        uid = url.path.rpartition("/")[2]
        if uid != "instances":
            if "application/dicom" not in self.headers.get("Accept", ""):
                return 406, {}, b""
            if uid not in pacs.objects:
                return 404, {}, b""
            kind = 'multipart/related; type="application/dicom"; boundary=xyz'
            part = b"--xyz\r\nContent-Type: application/dicom\r\n\r\n"
            return 200, {"Content-Type": kind}, part + pacs.objects[uid] + b"\r\n--xyz--\r\n"
        query = parse_qs(url.query)
        offset, limit = (int(query.get(key, ["0"])[0]) for key in ("offset", "limit"))
        wanted = query.get("SOPInstanceUID", list(pacs.objects))
        found = [one for one in pacs.objects if one in wanted][offset : offset + limit]
        listed = [{"00080018": {"vr": "UI", "Value": [one]}} for one in found]
        return (200, JSON, json.dumps(listed).encode()) if listed else (204, {}, b"")

    def _token(self, headers: dict[str, str], body: bytes) -> Reply:
        pacs = self.pacs
        pacs.token_requests.append(parse_qs(body.decode()))
        given = b64decode(headers.get("authorization", "").removeprefix("Basic ")).decode()
        if pacs.client is None or given != ":".join(pacs.client):
            return 401, {"Content-Type": "application/json"}, b'{"error": "invalid_client"}'
        token = f"token-{len(pacs.tokens)}"
        pacs.tokens[token] = time.monotonic() + pacs.token_lasts_s
        fields = {
            "access_token": token, "token_type": "Bearer", "expires_in": pacs.token_lasts_s,
        }  # fmt: skip
        return 200, {"Content-Type": "application/json"}, json.dumps(fields).encode()

    def _handed_on(self, headers: dict[str, str], body: bytes) -> Reply:
        kept = {key: headers[key] for key in ("content-type", "accept") if key in headers}
        there = http.client.HTTPConnection(self.pacs.behind, timeout=20)
        with contextlib.closing(there):
            there.request(self.command, self.path, body or None, kept)
            answer = there.getresponse()
            kind = answer.headers.get("Content-Type", "")
            return answer.status, {"Content-Type": kind}, answer.read()


def _parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """Take a multipart body apart: Part 10 files by SOP Instance UID."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    found: dict[str, bytes] = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        content = part.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        head = dcmread(io.BytesIO(content), specific_tags=["SOPInstanceUID"])
        found[str(head.SOPInstanceUID)] = content
    return found
