"""The table of what sources gave, part of the ledger's database."""

from typing import Final

from sqlalchemy import Column, Float, String, Table

from storage.ledger.schema import metadata

taken: Final = Table(
    "source_object",
    metadata,
    Column("source", String(64), primary_key=True),
    # SHA-256 of the path or key: names of files tell who the patient is.
    Column("key_digest", String(64), primary_key=True),
    # Which state of it was dealt with: what has another mark is a new object.
    Column("mark", String(64), nullable=False),
    # Why it was not taken; empty where it was.
    Column("fault", String, nullable=False),
    Column("at", Float, nullable=False),
)
