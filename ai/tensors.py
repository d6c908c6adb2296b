"""Check arrays against what a server declares, on the way to a model and back. Pure.

A server says of each tensor its datatype and its shape, where -1 stands for any length.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.contract import Served, Tensor
from ai.datatypes import DTYPES
from ai.prepared import Tensors
from dicom.errors import BadAnswer, Unsuitable

Array = npt.NDArray[Any]

_NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
BYTES: Final = "BYTES"
_LENGTH_BYTES: Final = 4


def check_inputs(served: Served, tensors: Tensors) -> None:
    """Raise Unsuitable where what was prepared is not what the server says that it takes."""
    for tensor in served.inputs:
        array = tensors.get(tensor.name)
        if array is None:
            raise Unsuitable(f"model {served.model}: nothing was prepared for input {tensor.name}")
        if _datatype(array) != tensor.datatype or not _fits(array.shape, tensor.shape):
            raise Unsuitable(
                f"model {served.model}: input {tensor.name} was prepared as"
                f" {_words(_datatype(array), array.shape)}, and the server takes"
                f" {_words(tensor.datatype, tensor.shape)}"
            )
        if 0 < served.max_batch_size < array.shape[0]:
            raise Unsuitable(
                f"model {served.model}: input {tensor.name} has {array.shape[0]} rows, and the"
                f" server takes {served.max_batch_size} at a time; lower the contract's batch"
            )


def decode(tensor: Tensor, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Array:
    """Make an array of an answer's bytes, without a copy where elements have a fixed size.

    Raises BadAnswer where datatype, shape or length are not what was declared.
    """
    shape = tuple(shape)
    if datatype != tensor.datatype or not _fits(shape, tensor.shape):
        raise BadAnswer(
            f"output {tensor.name} came as {_words(datatype, shape)},"
            f" not {_words(tensor.datatype, tensor.shape)} as the server declares"
        )
    if datatype == BYTES:
        return _texts(tensor.name, shape, raw)
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise BadAnswer(f"output {tensor.name} is {datatype}, which is not read here")
    count = _count(shape)
    if len(raw) != count * dtype.itemsize:
        raise BadAnswer(
            f"output {tensor.name} came with {len(raw)} bytes;"
            f" {_words(datatype, shape)} has {count * dtype.itemsize}"
        )
    return np.frombuffer(raw, dtype=dtype, count=count).reshape(shape)


def join(answers: Sequence[Tensors]) -> tuple[dict[str, Array], dict[str, tuple[int, ...]]]:
    """Put the rows of several answers one under another; also how many rows came from each.

    Raises BadAnswer where their other axes differ.
    """
    if len(answers) == 1:
        only = dict(answers[0])
        return only, {name: (len(each) if each.ndim else 1,) for name, each in only.items()}
    arrays: dict[str, Array] = {}
    rows: dict[str, tuple[int, ...]] = {}
    for name in answers[0]:
        parts = [np.atleast_1d(answer[name]) for answer in answers]
        if len({part.shape[1:] for part in parts}) > 1:
            raise BadAnswer(f"output {name} has rows of several shapes in one Series")
        arrays[name] = np.concatenate(parts)
        rows[name] = tuple(len(part) for part in parts)
    return arrays, rows


def size_bytes(tensors: Tensors) -> int:
    """Sum up the sizes of arrays; of elements of any length, what they hold."""
    return sum(
        sum(_LENGTH_BYTES + len(each) for each in array.flat)
        if array.dtype.kind in "OSU"
        else array.nbytes
        for array in tensors.values()
    )


def _texts(name: str, shape: tuple[int, ...], raw: bytes | memoryview) -> Array:
    found: list[bytes] = []
    at, view = 0, memoryview(raw)
    while at < len(view):
        length = int.from_bytes(view[at : at + _LENGTH_BYTES], "little")
        at += _LENGTH_BYTES
        if at + length > len(view):
            raise BadAnswer(f"output {name} breaks off inside its element {len(found)}")
        found.append(bytes(view[at : at + length]))
        at += length
    if len(found) != _count(shape):
        raise BadAnswer(f"output {name} came with {len(found)} elements, not {_count(shape)}")
    texts = np.empty(len(found), dtype=np.object_)
    texts[:] = found
    return texts.reshape(shape)


def _datatype(array: Array) -> str:
    if array.dtype.kind in "OSU":
        return BYTES
    return _NAMES.get(array.dtype) or str(array.dtype)


def _fits(shape: Sequence[int], declared: Sequence[int]) -> bool:
    if len(shape) != len(declared):
        return False
    for length, wanted in zip(shape, declared, strict=True):
        if length < 0 or wanted not in {-1, length}:
            return False
    return True


def _count(shape: Sequence[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _words(datatype: str, shape: Sequence[int]) -> str:
    return f"{datatype} {tuple(shape)}"
