"""What the tables of node.toml are made of: their base, and the types that several share."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Table(BaseModel):
    """A TOML table: frozen, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Target(Table):
    """What destinations and models have in common: how their jobs are given out."""

    jobs: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Most jobs at a time, on all machines together."""
    ordered: bool = False
    """Whether its jobs are done one at a time, oldest first, each waiting for the one before."""


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 30)]


def _listed(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""A list of names; a single one needs no brackets."""


class Secret(Table):
    """Where a secret is read from; the config file itself never holds one."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError('a secret is either { env = "NAME" } or { file = "path" }')
        return self


class ClientTls(Table):
    """How a server is called under TLS: whose word counts for it, and who calls."""

    ca: Path | None = None
    """Authorities of the server's certificate; those of the operating system without it."""
    certificate: Path | None = None
    """What the node shows of itself to servers that ask, its issuers after it."""
    key: Path | None = None
    name: str | None = None
    """The name that the server's certificate must carry; the host that is called without it."""
