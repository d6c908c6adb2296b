"""The tables of the evidence, part of the ledger's database."""

from typing import Final

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    text,
)

from storage.ledger.schema import metadata

_QUARANTINED: Final = text("new_sop = ''")

evidence = Table(
    "evidence",
    metadata,
    Column("id", Integer, primary_key=True),
    # As received.
    Column("study_instance_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    Column("source_uid", String(64), nullable=False),
    Column("source_digest", String(64), nullable=False),
    Column("profile", String(64), nullable=False),
    # As it may leave; all four empty where the object was quarantined.
    Column("new_study", String(64), nullable=False),
    Column("new_series", String(64), nullable=False),
    Column("new_sop", String(64), nullable=False),
    Column("patient_pseudonym", String(64), nullable=False),
    Column("account", String(64), nullable=False),
    Column("code", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("job", Integer, nullable=False),
    Column("software", String, nullable=False),
    # When it was said first, and when last.
    Column("at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    # A quarantine never overwrites what was said about an object that left, nor the reverse.
    UniqueConstraint("source_uid", "source_digest", "profile", "new_sop"),
    Index("evidence_by_study", "study_instance_uid"),
    Index("evidence_by_new_study", "new_study"),
    # Few rows, counted at each scrape.
    Index("evidence_quarantined", "code", sqlite_where=_QUARANTINED, postgresql_where=_QUARANTINED),
)

accounts = Table(
    "evidence_account",
    metadata,
    Column("digest", String(64), primary_key=True),
    # JSON, packed by zlib.
    Column("body", LargeBinary, nullable=False),
)

profiles = Table(
    "evidence_profile",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
