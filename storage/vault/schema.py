"""The vault's tables (SQLAlchemy Core), the same on every database that carries them."""

from typing import Final

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table

VERSION: Final = 1

metadata = MetaData()

versions = Table("version", metadata, Column("version", Integer, primary_key=True))

# The wrapped key of each patient, and under patient "" that of the audit trail.
keys = Table(
    "patient_key",
    metadata,
    Column("project", String, primary_key=True),
    Column("patient", String(64), primary_key=True),
    Column("key_id", String(16), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Index("patient_key_by_id", "key_id"),
)

forgotten = Table(
    "forgotten",
    metadata,
    Column("project", String, primary_key=True),
    Column("patient", String(64), primary_key=True),
    Column("forgotten_at", Float, nullable=False),
)

originals = Table(
    "original",
    metadata,
    Column("project", String, primary_key=True),
    # Part of the key: a UID that two patients share (a device's) is a row of each.
    Column("patient", String(64), primary_key=True),
    Column("kind", String, primary_key=True),
    Column("pseudonym", String, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Index("original_by_pseudonym", "pseudonym"),
    sqlite_with_rowid=False,
)

studies = Table(
    "study",
    metadata,
    Column("project", String, primary_key=True),
    Column("patient", String(64), primary_key=True),
    Column("study_instance_uid", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),
    Column("project", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("mac", String(64), nullable=False),
)
