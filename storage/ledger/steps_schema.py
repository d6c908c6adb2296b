"""The table of performed procedure steps, part of the ledger's database."""

from sqlalchemy import JSON, Boolean, Column, Float, Index, String, Table

from storage.ledger.schema import metadata

steps = Table(
    "performed_step",
    metadata,
    Column("sop_instance_uid", String(64), primary_key=True),
    # Who created it, by its AE title.
    Column("peer", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    # A list of Study Instance UIDs; a list of [Series Instance UID, [SOP Instance UID, ...]].
    Column("studies", JSON, nullable=False),
    Column("series", JSON, nullable=False),
    Column("has_ended", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index("performed_step_of", "peer", "status"),
)
