"""The shape of [models.NAME.predict]: what a server that describes nothing takes and gives."""

from typing import Annotated, Literal

from pydantic import Field

from config.shapes import Table

Length = Annotated[int, Field(ge=-1, le=1 << 31)]


class Declared(Table):
    """A tensor: its datatype (KServe v2), and its shape, where -1 stands for any length."""

    datatype: Literal[
        "BOOL", "UINT8", "UINT16", "UINT32", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64",
        "BYTES",
    ] = "FP32"  # fmt: skip
    shape: Annotated[tuple[Length, ...], Field(min_length=1, max_length=8)]


class Predict(Table):
    """A JSON predict call, as Vertex AI, SageMaker and TensorFlow Serving have it."""

    form: Literal["instances", "inputs"] = "instances"
    """By rows ("instances", answered "predictions"), or by columns ("inputs", "outputs")."""
    inputs: Annotated[dict[str, Declared], Field(min_length=1)]
    outputs: Annotated[dict[str, Declared], Field(min_length=1)]
