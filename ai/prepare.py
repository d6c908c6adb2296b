"""From a Series' stored objects to what a model is asked: checked, ordered, prepared.

ai/inputs/ holds a module for each kind of input.
"""

from collections.abc import Sequence

from ai import volume
from ai.contract import Contract, InputKind
from ai.header import Part10
from ai.inputs import extra, images, stack, tiles
from ai.prepared import Prepared


def prepare(contract: Contract, series: Sequence[Part10]) -> Prepared:
    """Make a Series ready to be asked about, or say why it cannot be.

    `series` holds the Series' objects, whole, in any order; they are read, and of whole-slide
    images kept for as long as the Prepared is. Raises Unsuitable, in words without patient's
    data, where the Series is not what the contract wants or cannot be prepared as it says;
    BadAnswer where the contract has not one input of images.
    """
    kind = extra.image_input(contract).kind
    if kind is InputKind.IMAGES:
        return images.prepare(contract, series)
    if kind is InputKind.TILES:
        return tiles.prepare(contract, series)
    return stack.prepare(contract, volume.read(series, contract.wants))


__all__ = ["Part10", "prepare"]
