"""The seam between the pool and a kind of inference server: one call, one answer.

ai/triton.py is Triton, and every server that speaks KServe v2, over gRPC.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy.typing as npt

from ai.contract import Served
from ai.prepared import Tensors

PROBE_S: Final = 2.0
"""How long a question that needs no computing may take."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request's place in a sequence (Triton's sequence batcher)."""

    sequence: int
    """Its id, not 0; nobody else on that server has it."""
    is_first: bool
    is_last: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    served: Served
    """The model as the endpoint describes it; its version is the one that is asked."""
    tensors: Tensors
    timeout_s: float
    urgent: bool = False
    step: Step | None = None
    trace: str = ""
    """32 hexadecimal digits (W3C Trace Context); none is sent where it is empty."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    arrays: Mapping[str, npt.NDArray[Any]]
    by_shared_memory: bool = False


class Endpoint(Protocol):
    """A client of one server. Belongs to one event loop, and lives as long as its process.

    Every method raises Troubled when the server cannot answer now.
    """

    address: str

    async def describe(self, model: str, version: str) -> Served:
        """Ask whether the model is ready and what it is. Raises BadAnswer where nobody can say."""

    async def infer(self, call: Call) -> Reply:
        """Run the model. Cancels its work when the time is over.

        Raises Unsuitable where the arrays are not what the server takes, BadAnswer where it
        refuses them or its answer is broken, or is to another request.
        """

    async def heal(self, model: str, timeout_s: float) -> None:
        """Have the server start a model's process anew."""

    async def close(self) -> None:
        """Close the connection."""
