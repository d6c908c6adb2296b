"""A whole Series: its requests side by side or as a sequence, and their rows joined."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

from ai import request
from ai.prepared import Tensors
from ai.request import Terms
from ai.tensors import join


class Requests(Protocol):
    """What the pool needs of ai/prepared.py's Prepared."""

    @property
    def batches(self) -> int:
        """Requests that make up the whole."""

    @property
    def is_sequence(self) -> bool:
        """Whether they go to one server in order, and the last answer counts."""

    def tensors(self, batch: int) -> Tensors:
        """Make the arrays of one request."""

    @property
    def pixel_digest(self) -> str:
        """SHA-256 (hex) of all that the model is given."""


Joined = tuple[Mapping[str, npt.NDArray[Any]], Mapping[str, tuple[int, ...]]]
"""Arrays by output, and how many rows of each came with each request."""


async def ask(terms: Terms, requests: Requests, in_flight: int) -> Joined:
    """Have all requests answered, `in_flight` of them under way at a time.

    Raises ModelUnavailable, Moved, Unsuitable or BadAnswer; the other requests are cancelled then.
    """
    if requests.is_sequence:
        last = await request.sequence(terms, requests.tensors, requests.batches)
        return join([last.arrays])
    if requests.batches == 1:
        only = await request.one(terms, lambda: requests.tensors(0))
        return join([only.arrays])
    return join(await _side_by_side(terms, requests, in_flight))


async def _side_by_side(terms: Terms, requests: Requests, in_flight: int) -> list[Tensors]:
    answers: list[Tensors] = [{}] * requests.batches
    left = iter(range(requests.batches))

    async def worker() -> None:
        for batch in left:
            reply = await request.one(terms, lambda batch=batch: requests.tensors(batch))  # type: ignore[misc]  # mypy cannot infer a default's type
            answers[batch] = reply.arrays

    workers = [asyncio.create_task(worker()) for _ in range(min(in_flight, requests.batches))]
    try:
        await asyncio.gather(*workers)
    finally:
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return answers
