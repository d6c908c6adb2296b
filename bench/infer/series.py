"""Series that are given to the pool or to a client of our own, and a Triton with a light model."""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

from config.models import Model
from examples.peers import triton as peer

REPOSITORY = Path(__file__).parent / "repository"
MODEL, INPUT, OUTPUT = "light", "volume", "level"
_CHANNEL = [
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
]

Volume = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Slabs:
    """A volume (z, y, x) as requests of some slices each."""

    volume: Volume
    slices: int
    is_sequence: bool = False

    @property
    def batches(self) -> int:
        return -(-len(self.volume) // self.slices)

    def tensors(self, batch: int) -> Mapping[str, npt.NDArray[Any]]:
        begin = batch * self.slices
        return {INPUT: self.volume[begin : begin + self.slices]}

    @property
    def pixel_digest(self) -> str:
        return ""


def volume(slices: int, size: int) -> Volume:
    """Make a volume whose slices can be told apart by their first voxel."""
    made = np.random.default_rng(7).integers(-1024, 2000, (slices, size, size), dtype=np.int16)
    made[:, 0, 0] = np.arange(slices)
    return made


def settings(*endpoints: str, **keys: Any) -> Model:
    """Write [models.NAME] for the light model."""
    return Model(endpoints=endpoints, model=MODEL, **keys)


class ByHand:
    """The client that somebody would write for this model alone, with tritonclient."""

    def __init__(self, endpoint: str) -> None:
        self._client = InferenceServerClient(endpoint, channel_args=_CHANNEL)

    async def call(self, slab: Volume) -> npt.NDArray[np.float32]:
        """Ask once."""
        given = InferInput(INPUT, list(slab.shape), "INT16")
        given.set_data_from_numpy(slab)
        answer: npt.NDArray[np.float32] = (await self._client.infer(MODEL, [given])).as_numpy(
            OUTPUT
        )
        return answer

    async def whole(self, slabs: Slabs, in_flight: int) -> npt.NDArray[np.float32]:
        """Ask about a whole volume, some requests at a time."""
        places = asyncio.Semaphore(in_flight)

        async def one(batch: int) -> npt.NDArray[np.float32]:
            async with places:
                return await self.call(slabs.tensors(batch)[INPUT])

        found: Sequence[npt.NDArray[np.float32]] = await asyncio.gather(
            *(one(batch) for batch in range(slabs.batches))
        )
        return np.concatenate(found)

    async def close(self) -> None:
        await self._client.close()


@contextlib.contextmanager
def tritons(folder: Path, count: int) -> Iterator[list[peer.Triton]]:
    """Run so many Tritons that serve the light model."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(peer.running(folder / str(number), repository=REPOSITORY))
            for number in range(count)
        ]
