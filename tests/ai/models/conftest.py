"""Ask reference models on a real Triton the way a worker does, as far as the findings."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from ai import declared, findings, joined, prepare
from ai.contract import Served, Tensor
from ai.finding import Mask, Measurement, Verdict
from ai.pool import Servers
from config.models import Model
from examples.peers import triton as peer
from examples.peers.asking import Asker, linked

STACKS = ("ct_calcium", "ct_emphysema", "ct_water_qc", "mr_brain")
FLAT = ("cxr_five", "mg_density", "wsi_labelling")


@dataclass(frozen=True)
class Serving:
    """The one server of all these tests: where it answers, and what it loads models from."""

    endpoint: str
    repository: Path


@dataclass(frozen=True)
class Found:
    """A model's findings by output; of a mask the labels (z, y, x)."""

    numbers: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, bool] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)


@pytest.fixture(scope="session")
def serving(environment, tmp_path_factory) -> Iterator[Serving]:
    """One server with all reference models; a test may lay down more and have them loaded."""
    folder = tmp_path_factory.mktemp("triton")
    repository = linked(folder / "models", STACKS + FLAT)
    with peer.running(folder, repository=repository, environment=environment) as running:
        yield Serving(running.endpoint, repository)


@pytest.fixture(scope="session")
def asker(serving) -> Iterator[Asker]:
    """Ask models about arrays."""
    asker = Asker(serving.endpoint)
    yield asker
    asker.close()


@pytest.fixture
def found(serving) -> Iterator[Callable[[str, Sequence[Path]], tuple[findings.Finding, ...]]]:
    """The findings of a model of images or tiles, by contract, preparation and pool."""

    async def find(model: str, files: Sequence[Path]) -> tuple[findings.Finding, ...]:
        settings, servers = Model(endpoints=(serving.endpoint,), model=model), Servers()
        contract = declared.read(await servers.describe(settings), settings)
        prepared = prepare.prepare(contract, [file.read_bytes() for file in files])
        answer = await servers.infer(settings, lambda _: prepared)
        await servers.close()
        return findings.read(contract, joined.arrays(contract, answer), prepared.grid)

    with asyncio.Runner() as runner:
        yield lambda model, files: runner.run(find(model, files))


@pytest.fixture(scope="session")
def find(serving, asker) -> Iterator[Callable[[str, Sequence[Path]], Found]]:
    """Contract, preparation, a real answer, and what it means; raises what those raise."""
    client = grpcclient.InferenceServerClient(serving.endpoint)

    def find(model: str, files: Sequence[Path]) -> Found:
        settings = Model(endpoints=(serving.endpoint,), model=model)
        contract = declared.read(_served(client, model), settings)
        prepared = prepare.prepare(contract, [file.read_bytes() for file in files])
        answer = asker.ask(model, prepared.tensors(0))
        return _found(findings.read(contract, answer, prepared.grid))

    yield find
    client.close()


def _served(client: grpcclient.InferenceServerClient, model: str) -> Served:
    metadata, config = client.get_model_metadata(model), client.get_model_config(model).config

    def tensors(rows):
        return tuple(Tensor(row.name, row.datatype, tuple(row.shape)) for row in rows)

    return Served(
        model=model,
        version="1",
        server="triton",
        inputs=tensors(metadata.inputs),
        outputs=tensors(metadata.outputs),
        parameters={key: one.string_value for key, one in config.parameters.items()},
    )


def _found(given) -> Found:
    found = Found()
    for one in given:
        if isinstance(one, Measurement):
            found.numbers[one.output] = one.value
        elif isinstance(one, Verdict):
            found.verdicts[one.name.value] = one.is_present
        elif isinstance(one, Mask):
            found.labels[one.output] = np.stack(one.labels)
    return found
