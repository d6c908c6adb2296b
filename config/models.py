"""The shape of the [models.NAME] tables."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from config import contracts
from config.predict import Predict
from config.serving import Serving
from config.shapes import Seconds
from dicom import result_kinds


def _not_blank(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be printable text")
    return text


Words = Annotated[str, Field(max_length=1024), AfterValidator(_not_blank)]


class Model(Serving):
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
    results: Annotated[tuple[result_kinds.Name, ...], Field(min_length=1)] = ("sr", "seg", "sc")
    """What is made beside the report where the findings call for it; there always is a report."""
    refused: Literal["report", "hold", "ignore"] = "report"
    """What becomes of a Series of the wanted Modality that the model is not fit for."""
    algorithm: contracts.Long | None = None
    algorithm_version: contracts.Long | None = None
    settings: Words | None = None
    """The algorithm's own parameters in words, for the report."""
    procedure: contracts.Coded | None = None
    wants: contracts.Wants | None = None
    inputs: dict[str, contracts.Input] = Field(default_factory=dict)
    outputs: dict[str, contracts.Output] = Field(default_factory=dict)
    trust: contracts.Trust | None = None
    predict: Predict | None = None
    """Of a server that is called by JSON and describes nothing; its endpoints are URLs."""

    @model_validator(mode="after")
    def _said_once(self) -> Self:
        for key in ("min_slices", "max_spacing_mm"):
            if getattr(self, key) is not None and getattr(self.wants, key, None) is not None:
                raise ValueError(f"{key} is given twice: here and in wants")
        return self
