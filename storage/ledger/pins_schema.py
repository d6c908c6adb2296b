"""The table of what may not leave the spool by decision of a person, part of the ledger."""

from sqlalchemy import Boolean, Column, Float, Index, String, Table

from storage.ledger.schema import Number, metadata

pins = Table(
    "pin",
    metadata,
    Column("id", Number, primary_key=True),
    Column("study_instance_uid", String(64), nullable=False),
    # Empty where the whole Study is meant.
    Column("series_instance_uid", String(64), nullable=False),
    Column("legal_hold", Boolean, nullable=False),
    Column("reason", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Float, nullable=False),
    # A pin that was lifted stays on record.
    Column("lifted_reason", String),
    Column("lifted_by", String),
    Column("lifted_at", Float),
    Index("pin_by_study", "study_instance_uid"),
)
