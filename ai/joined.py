"""Put the answers to several requests about one Series together, items numbered throughout.

A model numbers the items of each request from 0; behind the first request that is not their place
in the Series any more.
"""

from collections.abc import Callable
from itertools import accumulate
from typing import Final

import numpy as np

from ai.contract import IMAGE_KINDS, Contract, OutputKind, Served
from ai.pool import Answer
from ai.prepared import Prepared, Tensors

Prepare = Callable[[Served], Prepared]
"""Makes a Series ready for what a server says it serves."""

_NUMBERED: Final = frozenset({OutputKind.BOXES, OutputKind.POINTS})
"""The first column of each of their rows is an item's number."""


def arrays(contract: Contract, answer: Answer) -> Tensors:
    """Give the arrays of an answer with items numbered through all of its requests."""
    made = dict(answer.arrays)
    per_request = _per_request(contract)
    for output in contract.outputs:
        rows = answer.rows.get(output.name, ())
        if output.kind not in _NUMBERED or len(rows) < 2 or output.name not in made:
            continue
        numbered = np.array(made[output.name], copy=True)
        if numbered.ndim != 2 or sum(rows) != len(numbered):
            continue  # a broken answer, which is told when it is read
        for request, begin in enumerate(accumulate(rows, initial=0)):
            if request < len(rows):
                numbered[begin : begin + rows[request], 0] += request * per_request
        made[output.name] = numbered
    return made


def _per_request(contract: Contract) -> int:
    images = next(one for one in contract.inputs if one.kind in IMAGE_KINDS)
    return max(1, images.preparation.batch)
