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

FLAT = ("cxr_five", "mg_density", "wsi_labelling")
"""Models of images and tiles; they share another server."""
STACKS = ("ct_calcium", "ct_emphysema", "ct_water_qc", "mr_brain")
"""Models of stacks of slices; they share a server."""


@dataclass(frozen=True)
class Found:
    """A model's findings by output; of a mask the labels (z, y, x)."""

    numbers: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, bool] = field(default_factory=dict)
    labels: dict[str, np.ndarray] = field(default_factory=dict)


@pytest.fixture(scope="session")
def stacks(environment, tmp_path_factory) -> Iterator[str]:
    """The endpoint of a server with the models of stacks."""
    folder = tmp_path_factory.mktemp("stacks")
    repository = linked(folder / "models", STACKS)
    with peer.running(folder, repository=repository, environment=environment) as running:
        yield running.endpoint


@pytest.fixture(scope="session")
def flat(environment, tmp_path_factory) -> Iterator[str]:
    """The endpoint of a server with the models of images and tiles."""
    folder = tmp_path_factory.mktemp("flat")
    repository = linked(folder / "models", FLAT)
    with peer.running(folder, repository=repository, environment=environment) as running:
        yield running.endpoint


@pytest.fixture(scope="session")
def asker(flat) -> Iterator[Asker]:
    """Ask the models of images and tiles about arrays."""
    asker = Asker(flat)
    yield asker
    asker.close()


@pytest.fixture
def found(flat) -> Iterator[Callable[[str, Sequence[Path]], tuple[findings.Finding, ...]]]:
    """The findings of a model of images or tiles, by contract, preparation and pool."""

    async def find(model: str, files: Sequence[Path]) -> tuple[findings.Finding, ...]:
        settings, servers = Model(endpoints=(flat,), model=model), Servers()
        contract = declared.read(await servers.describe(settings), settings)
        prepared = prepare.prepare(contract, [file.read_bytes() for file in files])
        answer = await servers.infer(settings, lambda _: prepared)
        await servers.close()
        return findings.read(contract, joined.arrays(contract, answer), prepared.grid)

    with asyncio.Runner() as runner:
        yield lambda model, files: runner.run(find(model, files))


@pytest.fixture(scope="session")
def find(stacks) -> Iterator[Callable[[str, Sequence[Path]], Found]]:
    """Contract, preparation, a real answer, and what it means; raises what those raise."""
    client = grpcclient.InferenceServerClient(stacks)
    asker = Asker(stacks)

    def find(model: str, files: Sequence[Path]) -> Found:
        contract = declared.read(_served(client, model), Model(endpoints=(stacks,), model=model))
        prepared = prepare.prepare(contract, [file.read_bytes() for file in files])
        answer = asker.ask(model, prepared.tensors(0))
        return _found(findings.read(contract, answer, prepared.grid))

    yield find
    asker.close()
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
