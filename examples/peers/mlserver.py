"""A real MLServer on loopback, from the environment .venv-mlserver, with one small model."""

import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.peers.process import free_port, running

ENVIRONMENT = Path(__file__).parents[2] / ".venv-mlserver"
MODEL = """
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Mean(MLModel):
    async def predict(self, payload):
        images = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        means = images.reshape(len(images), -1).mean(axis=1, keepdims=True).astype("float32")
        outputs = [NumpyCodec.encode_output("mean", means)]
        return InferenceResponse(
            model_name=self.name, model_version=self.version, outputs=outputs
        )
"""


@dataclass(frozen=True, slots=True)
class MlServer:
    """A running server, and the model that it has: the mean of each image."""

    grpc_port: int
    http_port: int
    model: str = "mean"

    @property
    def url(self) -> str:
        """What stands before /v2."""
        return f"http://127.0.0.1:{self.http_port}"


def is_installed() -> bool:
    """Whether the environment is there."""
    return (ENVIRONMENT / "bin" / "mlserver").exists()


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[MlServer]:
    """Serve until the block ends; files and log lie in `folder`. Raises PeerDied."""
    server = MlServer(free_port(), free_port())
    settings = {
        "host": "127.0.0.1", "http_port": server.http_port, "grpc_port": server.grpc_port,
        "metrics_port": free_port(), "parallel_workers": 0,
    }  # fmt: skip
    model = {
        "name": server.model, "implementation": "mean.Mean", "parameters": {"version": "3"},
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, -1, -1]}],
        "outputs": [{"name": "mean", "datatype": "FP32", "shape": [-1, 1]}],
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    (folder / "mean.py").write_text(MODEL)
    command = [str(ENVIRONMENT / "bin" / "mlserver"), "start", str(folder)]

    def ready() -> bool:
        with contextlib.suppress(OSError, urllib.error.URLError):
            url = f"{server.url}/v2/models/{server.model}/ready"
            with urllib.request.urlopen(url, timeout=1) as answer:
                return bool(answer.status == 200)
        return False

    with running(command, ready=ready, log=folder / "mlserver.log", timeout_s=60, cwd=folder):
        yield server
