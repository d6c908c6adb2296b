"""A small server of JSON predict calls on loopback, by rows or by columns, that can misbehave."""

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from examples.peers.in_thread import answering

IMAGES: Final = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
MEANS: Final = [[1.5], [5.5], [9.5]]
"""A question, and what is answered."""
PREDICT: Final = {
    "inputs": {"image": {"shape": (-1, -1, -1)}},
    "outputs": {"mean": {"shape": (-1, 1)}},
}
"""[models.NAME.predict] of this server."""


@dataclass(frozen=True, slots=True)
class Images:
    """IMAGES in one request, as the pool wants them (ai/slabs.py)."""

    batches: int = 1
    is_sequence: bool = False
    pixel_digest: str = "images"

    def tensors(self, batch: int) -> dict[str, npt.NDArray[np.float32]]:
        """Give the only request."""
        assert batch == 0
        return {"image": IMAGES}


@dataclass(slots=True)
class PredictServer:
    """What it heard, and how it shall answer: the mean of each image."""

    url: str = ""
    token: str = ""
    """The bearer token that it wants; "" for none."""
    refuse: Callable[[str, str, Mapping[str, str], bytes], str] = lambda *_: ""
    """Says why a request is not let in, by its method, target, headers and body; "" if it is."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    """What the next calls are answered with, in place of the truth."""
    drip_s: float = 0.0
    """Seconds between two bytes of an answer; 0 sends it whole."""
    stopped: threading.Event = field(default_factory=threading.Event)

    def answer(self, said: dict[str, Any]) -> dict[str, Any]:
        """Give the mean of each image, in the form of the question."""
        if "instances" in said:
            means = [float(np.mean(row["image"])) for row in said["instances"]]
            return {"predictions": [{"mean": [one]} for one in means]}
        images = np.asarray(said["inputs"]["image"], dtype=float)
        return {"outputs": {"mean": images.reshape(len(images), -1).mean(1)[:, None].tolist()}}


class _Http(http.server.ThreadingHTTPServer):
    daemon_threads = True
    state: PredictServer


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def _said(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def do_POST(self) -> None:
        """Answer a predict call."""
        state = self.server.state
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
            status, told = 401, b'{"error": "who are you"}'
        elif words := state.refuse(self.command, self.path, self._said(), body):
            status, told = 403, json.dumps({"message": words}).encode()
        elif state.answers:
            status, told = state.answers.pop(0)
        else:
            state.asked.append(json.loads(body))
            status, told = 200, json.dumps(state.answer(state.asked[-1])).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        if not state.drip_s:
            self.wfile.write(told)
            return
        with contextlib.suppress(OSError):  # whoever asked has gone
            for byte in told:
                if state.stopped.wait(state.drip_s):
                    return
                self.wfile.write(bytes([byte]))


@contextlib.contextmanager
def serving(token: str = "") -> Iterator[PredictServer]:
    """Answer until the block ends."""
    server = _Http(("127.0.0.1", 0), _Handler)
    server.state = PredictServer(f"http://127.0.0.1:{server.server_port}/v1/mean:predict", token)
    with answering(server, server.state.stopped.set):
        yield server.state
