"""From a Series to a report: check and order it, ask a model, read its answer, build the SR."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog

from ai import declared, findings, volume
from ai.contract import Contract, InputKind, Served
from ai.header import Part10
from ai.pool import Servers
from ai.report import sr
from ai.report.subject import Subject
from ai.result import Result
from ai.volume import Volume
from config.models import Model

__all__ = ["Part10", "Pool", "Result", "infer"]

_log = structlog.get_logger()


async def infer(
    name: str, settings: Model, series: Sequence[Part10], servers: Servers, *, now: datetime
) -> Result:
    """Run one model on one Series and report what it found.

    `series` holds the Series' objects, whole, in any order; they are read, never kept. `name` is
    the model's name in the config, for the log. `now` is the time at which the Series was
    settled: it becomes the report's content time, so that a second run makes the same bytes.
    Raises Unsuitable when the Series is not what the model wants or the model refuses it,
    BadAnswer when the model breaks its contract, ModelUnavailable when no endpoint answers.
    """
    began = time.perf_counter()
    served = await servers.describe(settings)
    stack = volume.read(series, declared.read(served, settings).wants)
    read = time.perf_counter()
    answer = await servers.infer(settings, lambda found: _fit(found, settings, stack))
    answered = time.perf_counter()
    contract = declared.read(answer.served, settings)
    found = findings.read(contract, answer.arrays)
    subject = Subject(stack.source, contract, answer.served, found)
    result = sr.build(subject, now=now)
    _log.info(
        "inference",
        model=name,
        version=answer.served.version,
        series=stack.source.series_instance_uid,
        slices=len(series),
        read_s=round(read - began, 3),
        model_s=round(answered - read, 3),
        report_s=round(time.perf_counter() - answered, 3),
        result=result.sop_instance_uid,
    )
    return result


def _fit(served: Served, settings: Model, stack: Volume) -> Mapping[str, npt.NDArray[Any]]:
    contract: Contract = declared.read(served, settings)
    return {tensor.name: _FILL[tensor.kind](stack) for tensor in contract.inputs}


def _voxels(stack: Volume) -> npt.NDArray[Any]:
    return stack.hounsfield


def _spacing(stack: Volume) -> npt.NDArray[Any]:
    return np.array(stack.spacing_mm, dtype=np.float32)


_FILL: Final = {InputKind.VOLUME: _voxels, InputKind.SPACING: _spacing}


class Pool:
    """Inference for a worker: keeps connections and their event loop for the process's life.

    Not shared between threads; nothing connects before the first job.
    """

    def __init__(self) -> None:
        self._runner: asyncio.Runner | None = None
        self._servers = Servers()

    def infer(
        self, name: str, settings: Model, series: Sequence[Part10], *, now: datetime
    ) -> Result:
        """Do what the function `infer` does, and wait for it. Raises what it raises."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(infer(name, settings, series, self._servers, now=now))

    def check(self, settings: Model) -> None:
        """Ask whether a model is there. Raises ModelUnavailable, BadAnswer."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        self._runner.run(self._servers.describe(settings))

    def close(self) -> None:
        """Close connections and event loop. May be called twice."""
        runner, self._runner = self._runner, None
        if runner is not None:
            with runner:
                runner.run(self._servers.close())
