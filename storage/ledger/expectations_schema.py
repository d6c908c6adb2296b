"""The tables of what was announced, part of the ledger's database."""

from sqlalchemy import Column, Float, Index, Integer, String, Table

from storage.ledger.schema import Number, metadata

expected = Table(
    "expected",
    metadata,
    Column("id", Number, primary_key=True),
    Column("study_instance_uid", String(64), nullable=False),
    # Empty where the whole Study is meant.
    Column("series_instance_uid", String(64), nullable=False),
    Column("source", String(16), nullable=False),
    Column("count", Integer, nullable=False),
    # So many of them were named, in the table below.
    Column("named", Integer, nullable=False),
    Column("noted_at", Float, nullable=False),
    # Not unique: of two words of one source that were written at the same time, the later counts.
    Index("expected_by_series", "study_instance_uid", "series_instance_uid"),
)

expected_instances = Table(
    "expected_instance",
    metadata,
    Column("expected", Number, primary_key=True, autoincrement=False),
    Column("sop_instance_uid", String(64), primary_key=True),
)
