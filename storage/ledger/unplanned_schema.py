"""The table of rules that could not say whether they mean a Series, part of the ledger."""

from sqlalchemy import Column, Float, String, Table

from storage.ledger.schema import metadata

unplanned = Table(
    "unplanned",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("series_instance_uid", String(64), primary_key=True),
    Column("rule", String, primary_key=True),
    # Why it could not be said, without values.
    Column("words", String, nullable=False),
    Column("at", Float, nullable=False),
)
