"""The table of targets that do not answer, part of the ledger's database."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, String, Table

from storage.ledger.schema import metadata

breakers = Table(
    "breaker",
    metadata,
    # A target without a row has never failed.
    Column("target", String, primary_key=True),
    Column("state", String(16), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("last_job", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("since", Float, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("needs_job", Boolean, nullable=False),
    Column("fault", String, nullable=False),
    Column("words", String, nullable=False),
)
