"""How a model's servers are asked: the part of [models.NAME] that is about calls."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from config.shapes import ClientTls, Secret, Table, Target

_HEADER: Final = re.compile(r"[a-z0-9_.-]+")
_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
_ROUNDING: Final = 1e-9


def _header(name: str) -> str:
    # What gRPC takes as the name of metadata; those that end so hold bytes, and grpc- is its own.
    if not _HEADER.fullmatch(name) or name.endswith("-bin") or name.startswith("grpc-"):
        raise ValueError("is no header: small letters, digits, and - _ . between them")
    return name


def _region(name: str) -> str:
    if not _REGION.fullmatch(name):
        raise ValueError("is no region of AWS: it looks like eu-central-1")
    return name


class Shadow(Table):
    """What else is asked about each Series, for comparison alone."""

    model: str = ""
    """Its name in the model repository; the same as the live one's by default."""
    version: str = ""
    """Its version there; the newest by default."""


class Serving(Target):
    """How servers are asked about a model."""

    in_flight: Annotated[int, Field(ge=1, le=64)] = 4
    """Most requests under way at a time, of one worker, over all endpoints."""
    shared_memory: Literal["auto", "off"] = "auto"
    """Whether a server on this host reads tensors where they lie."""
    heal: bool = True
    """Whether a model whose process died is unloaded and loaded again."""
    tls: ClientTls | None = None
    token: Secret | None = None
    """Sent with every call as a bearer token."""
    identity: Literal["aws", "google"] | None = None
    """Who asks, as a cloud wants to know it: requests that are signed, or tokens that end."""
    region: Annotated[str, AfterValidator(_region)] | None = None
    """Where AWS has the endpoint; its signatures name it."""
    headers: dict[Annotated[str, AfterValidator(_header)], Secret] = Field(default_factory=dict)
    """Sent with every call, by their names."""
    split: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(default_factory=dict)
    """The share of patients by version; the rest is asked of `version`."""
    split_key: Secret | None = None
    """What patients are dealt out with."""
    shadow: Shadow | None = None
    cache_mb: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """So much of answers is kept, for Series that are asked about again."""

    @model_validator(mode="after")
    def _shares_are_whole(self) -> Self:
        if sum(self.split.values()) > 1 + _ROUNDING:
            raise ValueError("the shares of split are more than 1 together")
        if bool(self.split) != (self.split_key is not None):
            raise ValueError(
                "split and split_key go together: make the key by `penumbra key new FILE`"
            )
        return self
