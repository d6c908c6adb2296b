"""Read measurements, classifications and embeddings: one row for the whole, or one an item."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from ai.contract import Aggregate, Quantity
from ai.finding import Embedding, Measurement, Verdict
from ai.reading.answered import Answered
from dicom.errors import Unsuitable

_TOLERANCE: Final = 1e-4
"""Probabilities that are computed with 32 bits may lie so far outside 0 to 1."""
_SUM_TOLERANCE: Final = 1e-2
_PROBABILITY_DECIMALS: Final = 6
_LONGEST_VECTOR: Final = 65_536


def measurement(said: Answered) -> Iterator[Measurement]:
    """Read a measured number, or one for each image. Raises BadAnswer, Unsuitable."""
    quantity = said.output.quantity
    assert quantity is not None  # ai/declared_outputs.py makes no measurement without one
    how = said.output.aggregate
    rows = said.rows(2 if how is Aggregate.WEIGHTED else 1).astype(np.float64)
    if how is not Aggregate.SUM:
        _check_limits(said, quantity, rows[:, 0])
    if not said.by_item:
        yield _measured(said, quantity, float(rows[0, 0]), None)
    elif how is Aggregate.EACH:
        for row, value in enumerate(rows[:, 0]):
            image = said.image(row)
            if image is not None:
                yield _measured(said, quantity, float(value), image)
    else:
        yield _measured(said, quantity, _aggregated(said, rows), None)


def classification(said: Answered) -> Iterator[Verdict]:
    """Read whether each class is present, once or for each image. Raises BadAnswer."""
    output = said.output
    rows = said.rows(len(output.classes)).astype(np.float64)
    least, most = (float(end(rows)) for end in (np.min, np.max)) if rows.size else (0.0, 0.0)
    if least < -_TOLERANCE or most > 1 + _TOLERANCE:
        raise said.fault(f"holds {least:g} to {most:g}, and probabilities are 0 to 1")
    sums = rows.sum(axis=1)
    if output.exclusive and np.abs(sums - 1).max(initial=0) > _SUM_TOLERANCE:
        raise said.fault("is exclusive, and its probabilities do not add up to one")
    rows = np.clip(rows, 0, 1)
    if not said.by_item:
        yield from _verdicts(said, rows[0], None)
    elif output.aggregate is Aggregate.EACH:
        for row, probabilities in enumerate(rows):
            image = said.image(row)
            if image is not None:
                yield from _verdicts(said, probabilities, image)
    else:
        _need_rows(said, rows)
        whole = rows.max(axis=0) if output.aggregate is Aggregate.MAX else rows.mean(axis=0)
        yield from _verdicts(said, whole, None)


def embedding(said: Answered) -> Iterator[Embedding]:
    """Read what the model made of its input; of items, their mean. Raises BadAnswer."""
    numbers = said.numbers().astype(np.float64)
    axes = 2 if said.by_item else 1
    if numbers.ndim != axes or not numbers.size or numbers.shape[-1] > _LONGEST_VECTOR:
        raise said.fault(f"came as {list(numbers.shape)}: no vector, or one that is too long")
    vector = numbers.mean(axis=0) if said.by_item else numbers
    yield Embedding(said.output.name, tuple(float(number) for number in vector))


def _measured(said: Answered, quantity: Quantity, value: float, image: int | None) -> Measurement:
    _check_limits(said, quantity, np.array([value]))
    half = said.contract.trust.interval.get(said.output.name)
    interval = None
    if half is not None:
        ends = (max(value - half, quantity.low), min(value + half, quantity.high))
        interval = (_rounded(ends[0], quantity), _rounded(ends[1], quantity))
    return Measurement(
        output=said.output.name,
        name=quantity.name,
        value=_rounded(value, quantity),
        unit=quantity.unit,
        site=quantity.site,
        decimals=quantity.decimals,
        image=image,
        interval=interval,
    )


def _rounded(value: float, quantity: Quantity) -> float:
    return round(value, quantity.decimals) + 0.0  # -0.0 reads like a fault in a report


def _check_limits(said: Answered, quantity: Quantity, values: npt.NDArray[np.float64]) -> None:
    wrong = values[(values < quantity.low) | (values > quantity.high)]
    if wrong.size:
        limits = f"{quantity.low:g} to {quantity.high:g}"
        raise said.fault(f"is {wrong[0]:g}, outside its limits {limits}")


def _aggregated(said: Answered, rows: npt.NDArray[np.float64]) -> float:
    _need_rows(said, rows)
    how, values = said.output.aggregate, rows[:, 0]
    if how is Aggregate.WEIGHTED:
        weights = rows[:, 1]
        if weights.min() < 0:
            raise said.fault("has a weight below 0")
        if weights.sum() <= 0:
            words = "no item has any weight, so there is nothing to measure"
            raise Unsuitable(f"output {said.output.name}: {words}")
        return float(np.average(values, weights=weights))
    if how is Aggregate.MAX:
        return float(values.max())
    return float(values.sum() if how is Aggregate.SUM else values.mean())


def _need_rows(said: Answered, rows: npt.NDArray[np.float64]) -> None:
    if not rows.size:
        raise said.fault("has no rows")


def _verdicts(
    said: Answered, probabilities: npt.NDArray[np.float64], image: int | None
) -> Iterator[Verdict]:
    in_set_from = said.contract.trust.conformal.get(said.output.name)
    for each, probability in zip(said.output.classes, probabilities, strict=True):
        yield Verdict(
            output=said.output.name,
            name=each.name,
            probability=round(float(probability), _PROBABILITY_DECIMALS),
            is_present=bool(probability >= each.threshold),
            site=said.output.site,
            image=image,
            in_set=None if in_set_from is None else bool(probability >= in_set_from),
        )
