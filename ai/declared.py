"""Read a model's contract out of its parameters and of node.toml, and hold it against its tensors.

The parameters' names begin with "penumbra."; `[models.NAME]` in node.toml overrides them key by
key, and states all of it for a server without parameters. Nothing here talks to a server.
"""

import math
from typing import Final

from ai import declared_inputs, declared_outputs
from ai.contract import (
    IMAGE_KINDS,
    Contract,
    Contrast,
    Input,
    InputKind,
    Orientation,
    Output,
    OutputKind,
    Served,
    Trust,
    Wants,
)
from ai.declared_outputs import code
from ai.statement import Statement
from config.models import Model

STACKS: Final = frozenset({InputKind.VOLUME, InputKind.SLICES, InputKind.STREAM})


def read(served: Served, settings: Model) -> Contract:
    """Read a model's contract, with the node's own settings laid over it.

    Raises BadAnswer, naming the model and the parameter and what to write, when there is no usable
    contract or the model's tensors do not fit it.
    """
    statement = Statement(served.model, served.parameters, settings)
    statement.refuse_strangers("input", {tensor.name for tensor in served.inputs})
    statement.refuse_strangers("output", {tensor.name for tensor in served.outputs})
    name, version, words = statement.algorithm()
    inputs = tuple(declared_inputs.read(statement, tensor, served) for tensor in served.inputs)
    image = _image(statement, inputs)
    declared_inputs.check_beside(statement, inputs, image, served)
    outputs = tuple(declared_outputs.read(statement, tensor, image) for tensor in served.outputs)
    if not outputs:
        raise statement.fault("output", "the model has no outputs: nothing can be found")
    return Contract(
        algorithm=name,
        algorithm_version=version,
        settings=words,
        procedure=code(statement.procedure()),
        wants=_wants(statement, image.kind),
        inputs=inputs,
        outputs=outputs,
        trust=_trust(statement, image, outputs),
    )


def _image(statement: Statement, inputs: tuple[Input, ...]) -> Input:
    images = [each for each in inputs if each.kind in IMAGE_KINDS]
    if len(images) != 1:
        kinds = ", ".join(kind for kind in InputKind if kind in IMAGE_KINDS)
        found = f"{len(images)} inputs are images"
        raise statement.fault("input", f"{found}; exactly one must be one of {kinds}")
    return images[0]


def _wants(statement: Statement, kind: InputKind) -> Wants:
    stated = statement.wants()
    if not stated.modality:
        raise statement.missing("wants.modality", '"CT"')
    fewest = 2 if kind in STACKS else 1
    default = Wants(modality="")
    return Wants(
        modality=stated.modality,
        orientation=Orientation(stated.orientation or default.orientation),
        min_slices=fewest if stated.min_slices is None else stated.min_slices,
        max_spacing_mm=_or(stated.max_spacing_mm, math.inf),
        min_thickness_mm=_or(stated.min_thickness_mm, 0.0),
        max_thickness_mm=_or(stated.max_thickness_mm, math.inf),
        contrast=Contrast(stated.contrast or default.contrast),
        kvp=stated.kvp,
        body_parts=stated.body_parts or (),
        views=stated.views or (),
    )


def _trust(statement: Statement, image: Input, outputs: tuple[Output, ...]) -> Trust:
    stated = statement.trust()
    kinds = {output.name: output.kind for output in outputs}
    for key, rows, kind in (
        ("conformal", stated.conformal, OutputKind.CLASSIFICATION),
        ("interval", stated.interval, OutputKind.MEASUREMENT),
    ):
        for name in rows or {}:
            if kinds.get(name) is not kind:
                fitting = ", ".join(each for each, its in kinds.items() if its is kind) or "none"
                words = f"{key} names an output that is no {kind}; there are: {fitting}"
                raise statement.fault("trust", words)
    augment = stated.augment or ()
    if "flip-z" in augment and image.kind not in STACKS:
        raise statement.fault("trust", f"flip-z needs slices, and the input is {image.kind}")
    if augment and image.kind is InputKind.STREAM:
        raise statement.fault("trust", "augment is not for a stream, which is asked once")
    return Trust(
        augment=tuple(dict.fromkeys(augment)),
        conformal=stated.conformal or {},
        interval=stated.interval or {},
        coverage=_or(stated.coverage, Trust().coverage),
    )


def _or(stated: float | None, default: float) -> float:
    return default if stated is None else stated
