"""The shape of the [models.NAME] tables."""

from typing import Annotated

from pydantic import Field

from config.shapes import Seconds, Target


class Model(Target):
    """A model on Triton servers, and what a Series must be for it.

    The wanted input and the meaning of the outputs come from the model's own parameters
    (config.pbtxt); keys given here override them.
    """

    endpoints: Annotated[tuple[str, ...], Field(min_length=1)]
    model: str
    version: str = ""
    timeout_s: Seconds = 60
    min_slices: Annotated[int, Field(ge=1)] | None = None
    max_spacing_mm: Annotated[float, Field(gt=0)] | None = None
