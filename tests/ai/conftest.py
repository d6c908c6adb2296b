"""Phantoms, Series that are wrong in one way, and real Triton servers."""

import contextlib
import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import config as pydicom_config
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from ai import declared, phantom, server
from ai.contract import Contract, Served, Tensor
from ai.phantom import Truth
from ai.pipeline import Outcome, Part10, Pool
from config.models import Model
from dicom.errors import ConfigFault
from examples.peers import triton as peer

SETTLED = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)
LUNG = '"site": {"value": "39607008", "scheme": "SCT", "meaning": "Lung"}'
MISBEHAVES = """
import os, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        self.folder = os.path.join(args["model_repository"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        volume = pb_utils.get_input_tensor_by_name(request, "volume").as_numpy()
        how = int(volume[0, 0, 0])
        values = {name: np.array([50], dtype=np.float32)
                  for name in ("lung_volume_ml", "laa950_percent", "perc15_hu")}
        values["perc15_hu"][0] = -900
        refusal = b""
        if how == 1:
            values["laa950_percent"][0] = np.nan
        if how == 2:
            values["laa950_percent"][0] = np.inf
        if how == 3:
            values["laa950_percent"] = np.array([1, 2], dtype=np.float32)
        if how == 4:
            values["laa950_percent"][0] = 101
        if how == 5:
            refusal = b"contrast\\nagent"
        if how == 6:
            open(os.path.join(self.folder, "asked"), "w").close()
            time.sleep(4)
        if how == 7:
            os._exit(3)
        if how == 8:
            raise RuntimeError("the model fell over")
        tensors = [pb_utils.Tensor(name, array) for name, array in values.items()]
        regions = {
            9: np.zeros([size - 1 for size in volume.shape], dtype=np.uint8),
            10: np.zeros(volume.shape, dtype=np.float32),
            11: np.full(volume.shape, 7, dtype=np.uint8),
            12: np.zeros(volume.shape[1:], dtype=np.uint8),
        }.get(how, np.zeros(volume.shape, dtype=np.uint8))
        if how != 13:
            tensors.append(pb_utils.Tensor("regions", regions))
        tensors.append(pb_utils.Tensor("refusal", np.array([refusal], dtype=np.object_)))
        return pb_utils.InferenceResponse(output_tensors=tensors)
"""


@pytest.fixture(scope="session")
def settled() -> datetime:
    return SETTLED


@pytest.fixture(scope="session")
def truth(tmp_path_factory) -> Truth:
    """A chest phantom of 24 slices of 128 x 128."""
    return phantom.write(tmp_path_factory.mktemp("phantom"), slices=24, size=128)


@pytest.fixture(scope="session")
def series(truth) -> list[bytes]:
    return [path.read_bytes() for path in truth.files]


@pytest.fixture(scope="session")
def encode() -> Callable[[Dataset], bytes]:
    def encode(ds: Dataset) -> bytes:
        buffer = io.BytesIO()
        dcmwrite(buffer, ds, enforce_file_format=True)
        return buffer.getvalue()

    return encode


@pytest.fixture
def edited(series, encode) -> Callable[[Callable[[int, Dataset], None]], list[bytes]]:
    """Give the phantom's Series after a change to each dataset, by its place in z."""

    def edit(change: Callable[[int, Dataset], None]) -> list[bytes]:
        objects = []
        with pydicom_config.disable_value_validation():  # wrong values are what is wanted
            for z, part10 in enumerate(series):
                ds = dcmread(io.BytesIO(part10))
                change(z, ds)
                objects.append(encode(ds))
        return objects

    return edit


@pytest.fixture(scope="session")
def served() -> Served:
    """What a server says about the reference model, small enough to be changed in a test."""
    return Served(
        model="ct_emphysema",
        version="1",
        server="triton 2.51.0",
        inputs=(Tensor("volume", "INT16", (-1, -1, -1)), Tensor("spacing", "FP32", (3,))),
        outputs=(
            Tensor("laa950_percent", "FP32", (1,)),
            Tensor("refusal", "BYTES", (1,)),
        ),
        parameters={
            "penumbra.algorithm": "Penumbra CT emphysema",
            "penumbra.algorithm_version": "1.0.0",
            "penumbra.procedure": '{"value": "25045-6", "scheme": "LN", "meaning": "CT"}',
            "penumbra.wants.modality": "CT",
            "penumbra.wants.min_slices": "20",
            "penumbra.wants.max_spacing_mm": "5",
            "penumbra.input.volume": "volume",
            "penumbra.input.spacing": "spacing",
            "penumbra.output.laa950_percent": '{"kind": "measurement", "name": {"value": '
            '"LAA950", "scheme": "99PENUMBRA", "meaning": "Low attenuation"}, "unit": {"value": '
            '"%", "scheme": "UCUM", "meaning": "Percent"}, ' + LUNG + ', "low": 0, "high": 100, '
            '"decimals": 2}',
            "penumbra.output.refusal": '{"kind": "refusal"}',
        },
    )


@pytest.fixture(scope="session")
def contract(served) -> Contract:
    return declared.read(served, Model(endpoints=("127.0.0.1:1",), model="ct_emphysema"))


@pytest.fixture(scope="session")
def environment() -> Path:
    try:
        return server.environment()
    except ConfigFault as absent:
        pytest.skip(str(absent))


@pytest.fixture(scope="session")
def triton(environment, tmp_path_factory) -> Iterator[peer.Triton]:
    """A real Triton that serves the reference model of chest CT alone."""
    folder = tmp_path_factory.mktemp("triton")
    (folder / "models").mkdir()
    (folder / "models" / "ct_emphysema").symlink_to(server.REFERENCE_REPOSITORY / "ct_emphysema")
    with peer.running(folder, repository=folder / "models", environment=environment) as running:
        yield running


def _misbehaving_repository(repository: Path) -> Path:
    """A model that keeps the reference contract and does as voxel 0 says."""
    model = repository / "ct_emphysema"
    (model / "1").mkdir(parents=True)
    shutil.copy(server.REFERENCE_REPOSITORY / "ct_emphysema" / "config.pbtxt", model)
    (model / "1" / "model.py").write_text(MISBEHAVES)
    return repository


@pytest.fixture(scope="session")
def misbehaving(environment, tmp_path_factory) -> Iterator[peer.Triton]:
    """A real Triton whose model breaks its contract in the way that voxel 0 asks for."""
    folder = tmp_path_factory.mktemp("misbehaving")
    repository = _misbehaving_repository(folder / "models")
    with peer.running(folder, repository=repository, environment=environment) as running:
        yield running


@pytest.fixture
def doomed(environment, tmp_path) -> Iterator[tuple[peer.Triton, Path]]:
    """A misbehaving Triton of the test's own, killed at its end, and what its model touches."""
    repository = _misbehaving_repository(tmp_path / "models")
    with peer.running(tmp_path, repository=repository, environment=environment) as running:
        yield running, repository / "ct_emphysema" / "asked"
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGKILL)  # a hanging model would hold a kind end up
    assert not list(Path("/dev/shm").glob(f"penumbra_triton_{running.grpc_port}_*"))


@pytest.fixture
def ask(settled) -> Iterator[Callable[[Model, Sequence[Part10]], Outcome]]:
    """Infer as a worker does: one pool for the whole test."""
    pool = Pool()
    yield lambda settings, series: pool.infer("emphysema", settings, series, now=settled)
    pool.close()
