"""The shape of what several machines share: the [ledger] on PostgreSQL, and [staging]."""

from typing import Annotated

from pydantic import Field

from config.shapes import Secret, Table

ServerUrl = Annotated[str, Field(pattern=r"^postgres(ql)?://")]
"""A PostgreSQL database: postgresql://user@host:port/database."""


class Ledger(Table):
    """Where the ledger lies: on PostgreSQL, or without `url` as SQLite in data_dir."""

    url: ServerUrl | None = None
    password: Secret | None = None


class Staging(Table):
    """Where a Series lies until all its jobs are done, so that other machines can do them."""

    destination: str
    """The name of an object-store destination, which no rule sends to."""
