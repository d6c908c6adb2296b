"""Real Tritons whose models do as they are told, and a server that lies."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ai.pool import Servers
from config.models import Model
from examples.peers import triton as peer
from examples.peers.process import free_port

HEAD = """
backend: "python"
instance_group [ { kind: KIND_CPU, count: 1 } ]
input [ { name: "x" data_type: TYPE_INT16 dims: [ -1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
PUPPET = """
import os, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        rows = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        how, much = int(rows[0, 0]), int(rows[0, 1])
        if how == 1:
            time.sleep(much / 1000)
        if how == 2:
            os._exit(3)
        if how == 3:
            raise RuntimeError("the model fell over")
        y = np.ascontiguousarray(rows[:, 1:2], dtype=np.float32)
        if how == 4:
            y = y.reshape(-1, 1, 1)
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("y", y)])
"""
SERIAL = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        one = lambda name: int(pb_utils.get_input_tensor_by_name(request, name).as_numpy().flat[0])
        if one("START"):
            self.sums[one("ID")] = 0
        if one("ID") == 0:  # Triton fills places of a batch that no sequence has
            self.sums[0] = 0
        rows = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
        self.sums[one("ID")] += int(rows[:, 1].sum())
        y = np.array([[self.sums[one("ID")]]], dtype=np.float32)
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("y", y)])
"""
NARROW = """
dynamic_batching {
  priority_levels: 2
  default_priority_level: 2
  default_queue_policy { max_queue_size: 1 }
}
"""
SEQUENCES = """
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
    { name: "ID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
  ]
}
"""
MODELS = {
    "puppet": ("max_batch_size: 64", PUPPET),
    "narrow": (f"max_batch_size: 1{NARROW}", PUPPET),
    "serial": (f"max_batch_size: 64{SEQUENCES}", SERIAL),
}


def write_model(repository: Path, name: str, version: int = 1) -> Path:
    """Add a model that does as its first row says: (1, ms) sleeps, (2, 0) dies, and so on."""
    config, code = MODELS[name]
    folder = repository / name
    (folder / str(version)).mkdir(parents=True)
    (folder / "config.pbtxt").write_text(f'name: "{name}"\n{config}\n{HEAD}')
    (folder / str(version) / "model.py").write_text(code)
    return folder


@dataclass
class Rows:
    """A Series that is so many requests, each of one row: what to do, and a value."""

    orders: list[tuple[int, int]]
    is_sequence: bool = False
    columns: int = 2
    asked: int = 0

    @property
    def batches(self) -> int:
        return len(self.orders)

    def tensors(self, batch: int) -> dict[str, np.ndarray]:
        self.asked += 1
        row = np.zeros((1, self.columns), dtype=np.int16)
        row[0, :2] = self.orders[batch]
        return {"x": row}

    @property
    def pixel_digest(self) -> str:
        return repr(self.orders)


@pytest.fixture(scope="session")
def rows() -> type[Rows]:
    return Rows


@pytest.fixture(scope="session")
def values() -> Callable[[int], Rows]:
    """So many requests that give 0, 1, 2, and so on."""
    return lambda count: Rows([(0, i) for i in range(count)])


@pytest.fixture
def model() -> Callable[..., Model]:
    def make(*endpoints: str, **keys: Any) -> Model:
        return Model(endpoints=endpoints, model=keys.pop("model", "puppet"), **keys)

    return make


@dataclass
class Loop:
    """One event loop and its servers, as a worker has them."""

    runner: asyncio.Runner
    servers: Servers

    def run(self, question: Awaitable[Any]) -> Any:
        async def asked() -> Any:
            return await question

        return self.runner.run(asked())

    def infer(self, settings: Model, rows: Rows, **keys: Any) -> Any:
        return self.run(self.servers.infer(settings, lambda _: rows, **keys))


@pytest.fixture
def loop() -> Iterator[Loop]:
    with asyncio.Runner() as runner:
        servers = Servers()
        yield Loop(runner, servers)
        runner.run(servers.close())


@pytest.fixture(scope="module")
def pair(environment, tmp_path_factory) -> Iterator[tuple[peer.Triton, peer.Triton]]:
    """Two Tritons with all models, each with a repository of its own."""

    def start(folder: Path) -> peer.Triton:
        for name in MODELS:
            write_model(folder / "models", name)
        return stack.enter_context(
            peer.running(folder, repository=folder / "models", environment=environment)
        )

    folders = [tmp_path_factory.mktemp("triton") for _ in range(2)]
    with contextlib.ExitStack() as stack:
        with ThreadPoolExecutor(2) as both:  # each takes seconds, most of them waiting
            one, other = both.map(start, folders)
        yield one, other
        for each in (one, other):  # nothing is lost, and ending in peace takes seconds
            os.kill(each.pid, signal.SIGKILL)


@pytest.fixture
def doomed(environment, tmp_path) -> Iterator[tuple[peer.Triton, Path]]:
    """A Triton of the test's own that it may kill, and its repository."""
    repository = tmp_path / "models"
    write_model(repository, "puppet")
    with peer.running(tmp_path, repository=repository, environment=environment) as running:
        yield running, repository
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGKILL)


class Liar(service_pb2_grpc.GRPCInferenceServiceServicer):
    """A KServe v2 server that answers as its `lie` says; Triton cannot be made to."""

    def __init__(self) -> None:
        self.lie: Callable[[Any], Any] = lambda answer: answer
        self.seen: list[tuple[Any, dict[str, str]]] = []

    def ModelReady(self, request, context):  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=True)

    def ServerMetadata(self, request, context):  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="liar", version="1")

    def ModelMetadata(self, request, context):  # noqa: N802
        return service_pb2.ModelMetadataResponse(
            name=request.name,
            versions=["1"],
            inputs=[{"name": "x", "datatype": "INT16", "shape": [-1, -1]}],
            outputs=[{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
        )

    def ModelInfer(self, request, context):  # noqa: N802
        self.seen.append((request, dict(context.invocation_metadata())))
        rows = np.frombuffer(request.raw_input_contents[0], np.int16).reshape(-1, 2)
        answer = service_pb2.ModelInferResponse(
            model_name=request.model_name,
            model_version="1",
            id=request.id,
            outputs=[{"name": "y", "datatype": "FP32", "shape": [len(rows), 1]}],
            raw_output_contents=[rows[:, 1].astype(np.float32).tobytes()],
        )
        return self.lie(answer)

    @contextlib.contextmanager
    def serving(self, credentials: Any = None) -> Iterator[Self]:
        """Answer at `address` until the block ends."""
        server = grpc.server(ThreadPoolExecutor(4))
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, server)
        port = free_port()
        if credentials is None:
            server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self.address = f"127.0.0.1:{port}"
        server.start()
        try:
            yield self
        finally:
            server.stop(None).wait()


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with Liar().serving() as serving:
        yield serving


@pytest.fixture
def later() -> Iterator[Callable[..., None]]:
    """Do something in a thread; joined when the test ends."""
    threads = []

    def start(what: Callable[[], None]) -> None:
        threads.append(threading.Thread(target=what))
        threads[-1].start()

    yield start
    for each in threads:
        each.join()
