"""A token server as Google has it, on loopback: signed assertions in, tokens that end out."""

import base64
import contextlib
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from examples.peers.in_thread import answering

EMAIL = "penumbra@hospital.iam.gserviceaccount.com"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(slots=True)
class TokenServer:
    """What it gave, and how it shall answer."""

    key: rsa.RSAPrivateKey
    url: str = ""
    lives_s: int = 3600
    refuses: str = ""
    """The OAuth error that every question is answered with; "" for none."""
    given: list[str] = field(default_factory=list)
    may_go_on: threading.Event = field(default_factory=threading.Event)
    """While it is not set, answers wait."""

    def write_account(self, file: Path) -> Path:
        """Write the key file of a service account whose tokens come from here."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        said = {
            "type": "service_account", "project_id": "hospital", "private_key_id": "one",
            "private_key": pem.decode(), "client_email": EMAIL, "client_id": "1",
            "token_uri": self.url,
        }  # fmt: skip
        file.write_text(json.dumps(said))
        return file

    def answer(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Give a token for an assertion that the account's key has signed, and for no other."""
        if self.refuses:
            return 400, {"error": self.refuses, "error_description": "for example"}
        if form.get("grant_type") != GRANT or not self._is_signed(form.get("assertion", "")):
            return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
        self.given.append(f"ya29.token-{len(self.given) + 1}")
        return 200, {
            "access_token": self.given[-1], "expires_in": self.lives_s, "token_type": "Bearer",
        }  # fmt: skip

    def _is_signed(self, assertion: str) -> bool:
        signed, _, signature = assertion.rpartition(".")
        claims = json.loads(_bytes(signed.partition(".")[2]) or b"{}")
        try:
            self.key.public_key().verify(
                _bytes(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return False
        return claims.get("iss") == EMAIL and claims.get("scope") == SCOPE


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    state: TokenServer


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Http

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def do_POST(self) -> None:
        """Answer a question for a token."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.state.may_go_on.wait(30)
        status, said = self.server.state.answer(dict(urllib.parse.parse_qsl(body)))
        told = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asked has gone
            self.wfile.write(told)


@contextlib.contextmanager
def serving() -> Iterator[TokenServer]:
    """Answer until the block ends."""
    server = _Http(("127.0.0.1", 0), _Handler)
    server.state = TokenServer(
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        f"http://127.0.0.1:{server.server_port}/token",
    )
    server.state.may_go_on.set()
    with answering(server, server.state.may_go_on.set):
        yield server.state


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
