"""The ledger's tables (SQLAlchemy Core), the same on every database that carries them."""

from typing import Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

VERSION: Final = 1

metadata = MetaData()

versions = Table("version", metadata, Column("version", Integer, primary_key=True))

instances = Table(
    "instance",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sop_instance_uid", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("transfer_syntax_uid", String(64), nullable=False),
    # Both empty while an object could not be filed.
    Column("study_instance_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    Column("segment", String, nullable=False),
    Column("offset", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("called_ae", String(16), nullable=False),
    Column("association", String, nullable=False),
    Column("address", String, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("origin", String, nullable=False),
    Column("rule", String, nullable=False),
    # Another object came first under the same UID (P7): kept, never delivered by itself.
    Column("conflict", Boolean, nullable=False),
    UniqueConstraint("sop_instance_uid", "digest"),
    Index("instance_by_series", "study_instance_uid", "series_instance_uid"),
)

series = Table(
    "series",
    metadata,
    Column("study_instance_uid", String(64), primary_key=True),
    Column("series_instance_uid", String(64), primary_key=True),
    Column("modality", String(16), nullable=False),
    Column("origin", String, nullable=False),
    Column("rule", String, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("first_at", Float, nullable=False),
    Column("last_at", Float, nullable=False),
    # Settled so many times; `open` means that there is news which no revision covers.
    Column("revision", Integer, nullable=False),
    Column("open", Boolean, nullable=False),
    # The newest instance.id that the last revision covered.
    Column("settled_to", Integer, nullable=False),
    Column("settled_at", Float),
    Column("reason", String),
    Index("series_open", "open", "last_at"),
)

positions = Table(
    "position",
    metadata,
    Column("segment", String, primary_key=True),
    Column("position", Integer, nullable=False),
)

jobs = Table(
    "job",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("study_instance_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("rule", String, nullable=False),
    Column("target", String, nullable=False),
    Column("profile", String, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("dedup_key", String, nullable=False, unique=True),
    Column("lane", String, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("not_before", Float, nullable=False),
    Column("lease_until", Float),
    Column("owner", String, nullable=False),
    Column("fault", String, nullable=False),
    Column("words", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("job_claim", "state", "not_before"),
    Index("job_lane", "lane", "state"),
)

receipts = Table(
    "receipt",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", Integer, nullable=False),
    Column("destination", String, nullable=False),
    # Digest of the profile that was applied; empty where identity was kept.
    Column("profile", String, nullable=False),
    Column("source_digest", String(64), nullable=False),
    Column("source_uid", String(64), nullable=False),
    Column("sop_instance_uid", String(64), nullable=False),
    Column("location", String, nullable=False),
    Column("digest_sent", String(64), nullable=False),
    Column("digest_read_back", String(64), nullable=False),
    Column("proof", String, nullable=False),
    Column("delivered_at", Float, nullable=False),
    UniqueConstraint("destination", "profile", "source_uid", "source_digest"),
)

pauses = Table(
    "pause",
    metadata,
    Column("target", String, primary_key=True),
    Column("by", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("at", Float, nullable=False),
)

events = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("type", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("data", JSON, nullable=False),
    Column("at", Float, nullable=False),
    Column("published", Boolean, nullable=False),
    Index("event_unpublished", "published", "id"),
    sqlite_autoincrement=True,
)
