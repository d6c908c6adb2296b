"""Read what fills each input tensor, and judge whether the tensor can hold it."""

from typing import Final

from ai.contract import (
    IMAGE_KINDS,
    Input,
    InputKind,
    Normalise,
    Preparation,
    Served,
    Tensor,
)
from ai.statement import Statement
from config import contracts
from dicom.errors import BadAnswer

_LAYOUTS: Final = {InputKind.VOLUME: "zyx", InputKind.TILES: "nyxc"}
_ITEMS: Final = "nyx"
_IMAGE_TYPES: Final = ("UINT8", "INT16", "UINT16", "FP16", "FP32")
_FRACTIONS: Final = ("FP16", "FP32")


def read(statement: Statement, tensor: Tensor, served: Served) -> Input:
    """Read one input of the contract. Raises BadAnswer."""
    key = f"input.{tensor.name}"
    stated = statement.input(tensor.name)
    if stated.kind is None:
        raise statement.fault(key, f"must be one of {', '.join(InputKind)}")
    kind = InputKind(stated.kind)
    if kind is InputKind.ATTRIBUTE and not stated.keyword:
        raise statement.fault(key, 'needs keyword, such as {"kind": "attribute", "keyword": "KVP"}')
    preparation = Preparation()
    if kind in IMAGE_KINDS:
        preparation = _preparation(statement, key, stated, kind, served.max_batch_size)
        _check_image(statement, tensor, preparation, is_batching=served.max_batch_size > 0)
        if kind is InputKind.TILES and tensor.shape[preparation.layout.index("c")] not in {3, -1}:
            raise statement.fault(key, f"tiles are RGB: 3 colours, not {_shown(tensor)}")
    return Input(
        name=tensor.name,
        kind=kind,
        preparation=preparation,
        keyword=stated.keyword or "",
        datatype=tensor.datatype,
        shape=tensor.shape,
    )


def check_beside(
    statement: Statement, inputs: tuple[Input, ...], image: Input, served: Served
) -> None:
    """Judge the tensors beside the image's: distances and attributes. Raises BadAnswer."""
    how = image.preparation
    for each in inputs:
        if each.kind in IMAGE_KINDS:
            continue
        rows, own = each.shape[:-1], each.shape[-1:]
        lengths = _lengths(each.kind, image.kind)
        fits = own in {(length,) for length in lengths} and rows in {(), (1,), (-1,)}
        if each.datatype != "FP32" or not fits:
            tensor = Tensor(each.name, each.datatype, each.shape)
            raise _misfit(statement, tensor, f"FP32 [{lengths[0]}]")
        if served.max_batch_size and how.layout[0] == "n" and how.batch > 1:
            words = "is one row a request, and the server wants one for each item of a batch"
            raise statement.fault(f"input.{each.name}", f"{words}: set max_batch_size: 0")


def _lengths(kind: InputKind, image: InputKind) -> tuple[int, ...]:
    if kind is InputKind.ATTRIBUTE:
        return (1,)
    return {InputKind.VOLUME: (3,), InputKind.IMAGES: (2,), InputKind.TILES: (2,)}.get(
        image, (3, 2)
    )


def _preparation(
    statement: Statement, key: str, stated: contracts.Input, kind: InputKind, most: int
) -> Preparation:
    default = Preparation()
    layout = stated.layout or _LAYOUTS.get(kind, _ITEMS)
    batch = stated.batch or default.batch
    if most and layout[0] == "n" and batch > most:
        if stated.batch:
            words = f"batch is {batch}, and the model's max_batch_size is {most}"
            raise statement.fault(key, f'{words}: write "batch": {most}')
        batch = most
    return Preparation(
        spacing_mm=stated.spacing_mm,
        size=stated.size,
        fit=stated.fit or default.fit,
        window=stated.window,
        normalise=Normalise(stated.normalise or default.normalise),
        layout=layout,
        batch=batch,
    )


def _check_image(
    statement: Statement, tensor: Tensor, how: Preparation, *, is_batching: bool
) -> None:
    key = f"input.{tensor.name}"
    if tensor.datatype not in _IMAGE_TYPES:
        raise _misfit(statement, tensor, f"one of {', '.join(_IMAGE_TYPES)}")
    if how.normalise is not Normalise.NONE and tensor.datatype not in _FRACTIONS:
        words = f"normalise gives fractions, and the tensor is {tensor.datatype}"
        raise statement.fault(key, f'{words}: declare it FP32, or write "normalise": "none"')
    if is_batching and how.layout[0] not in "n1":
        words = f'layout "{how.layout}" has no room for the batch: the model has max_batch_size'
        raise statement.fault(key, f'{words} > 0, so begin it with n or 1, such as "1{how.layout}"')
    if len(how.layout) != len(tensor.shape):
        axes = f"{tensor.datatype} {[-1] * len(how.layout)}"
        raise _misfit(statement, tensor, f'{axes} by its layout "{how.layout}"')
    for letter, length in zip(how.layout, tensor.shape, strict=True):
        _check_axis(statement, tensor, how, letter, length)


def _check_axis(
    statement: Statement, tensor: Tensor, how: Preparation, letter: str, length: int
) -> None:
    if length == -1:
        return
    key = f"input.{tensor.name}"
    if letter == "1" and length != 1:
        raise statement.fault(
            key, f"an axis 1 of its layout has the length {length} in the tensor: {_shown(tensor)}"
        )
    if letter == "c" and length not in {1, 3}:
        raise statement.fault(key, f"the axis c has 1 or 3 colours, not {length}: {_shown(tensor)}")
    if letter == "n" and how.batch != length:
        words = f"the tensor takes exactly {length} at a time: {_shown(tensor)}"
        raise statement.fault(key, f'{words}; make the axis -1, or write "batch": {length}')
    if letter in "zyx":
        place = "zyx".index(letter) - 3
        size = 0 if how.size is None or len(how.size) < -place else how.size[place]
        if size != length:
            words = f"the tensor's axis {letter} is fixed: {_shown(tensor)}"
            raise statement.fault(key, f'{words}; write "size" with {length} for it')


def _shown(tensor: Tensor) -> str:
    return f"{tensor.datatype} {list(tensor.shape)}"


def _misfit(statement: Statement, tensor: Tensor, needed: str) -> BadAnswer:
    return statement.fault(
        f"input.{tensor.name}",
        f"tensor {tensor.name} is declared {_shown(tensor)}, its kind needs {needed}",
    )
