"""Fill the inputs that are no images: distances between neighbours, numbers from the header."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from ai.contract import IMAGE_KINDS, Contract, Input, InputKind
from ai.inputs import tensor
from ai.prepared import Tensors
from dicom.errors import BadAnswer, Unsuitable
from dicom.part10 import text

_AGE_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


def image_input(contract: Contract) -> Input:
    """Give the one input that takes images. Raises BadAnswer where there is none, or a second."""
    found = [one for one in contract.inputs if one.kind in IMAGE_KINDS]
    if len(found) != 1:
        raise BadAnswer(f"the contract has {len(found)} inputs of images; one is needed")
    return found[0]


def check_batches(images: Input, items: int) -> None:
    """Raise BadAnswer where a tensor takes exactly so many items and the last request has fewer."""
    layout = tensor.layout(images)
    if "n" not in layout or "z" in layout or len(images.shape) != len(layout):
        return
    exactly = images.shape[layout.index("n")]
    if exactly > 0 and items % exactly:
        words = f"takes exactly {exactly} at a time, and {items} are given: make its axis n -1"
        raise BadAnswer(f"input {images.name} {words}")


def fill(contract: Contract, head: Dataset, spacing_mm: Sequence[float]) -> Tensors:
    """Make the tensors of SPACING and ATTRIBUTE. `spacing_mm` is along all axes, z first.

    Raises Unsuitable where the header lacks the number, or where nobody calibrated the distances.
    """
    made = {}
    for one in contract.inputs:
        if one.kind is InputKind.SPACING:
            made[one.name] = _cast(one, _spacing(contract, one, spacing_mm))
        elif one.kind is InputKind.ATTRIBUTE:
            made[one.name] = _cast(one, [_number(head, one.keyword)])
    return made


def asks_for_spacing(contract: Contract) -> bool:
    """Whether the model is given distances."""
    return any(one.kind is InputKind.SPACING for one in contract.inputs)


def digest(contract: Contract, pixels: bytes, extras: Tensors, *more: object) -> str:
    """Make the SHA-256 (hex) of pixels, other inputs, and all that says how they are prepared.

    `pixels` is a digest of the stored values in their order: what is prepared of them follows
    from it and from the settings, so that nothing has to be prepared to know it.
    """
    whole = hashlib.sha256(pixels)
    whole.update(repr((contract.inputs, more)).encode())
    for name in sorted(extras):
        whole.update(repr((name, extras[name].dtype.str, extras[name].shape)).encode())
        whole.update(extras[name].tobytes())
    return whole.hexdigest()


def _spacing(contract: Contract, one: Input, spacing_mm: Sequence[float]) -> Sequence[float]:
    count = 3 if image_input(contract).kind is InputKind.VOLUME else 2
    if one.shape and one.shape[-1] in {2, 3}:
        count = min(one.shape[-1], len(spacing_mm))
    found = spacing_mm[-count:]
    if not all(value > 0 for value in found):
        raise Unsuitable("nobody calibrated the distances between pixels (no PixelSpacing)")
    return found


def _number(head: Dataset, keyword: str) -> float:
    words = text(head, keyword).strip()
    if keyword == "PatientAge" and len(words) == 4 and words[3] in _AGE_YEARS:
        words, years = words[:3], _AGE_YEARS[words[3]]
    else:
        years = 1.0
    try:
        value = float(words) * years
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Unsuitable(f"its {keyword} is no single number, and the model needs one")
    return value


def _cast(one: Input, values: Sequence[float]) -> npt.NDArray[Any]:
    made = np.array(values, dtype=np.float64)
    whole = np.dtype(np.float32)
    array = tensor.cast(made, tensor.dtype(one, whole))
    # A server that batches declares a first axis before the one of the numbers.
    return array.reshape(1, -1) if len(one.shape) == 2 else array
