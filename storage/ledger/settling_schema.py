"""The tables of what counts as complete, part of the ledger's database."""

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table

from storage.ledger.schema import Number, metadata

studies = Table(
    "study",
    metadata,
    # A Study whose Series come in over several nodes is a Study at each of them.
    Column("node", String, primary_key=True, server_default=""),
    Column("study_instance_uid", String(64), primary_key=True),
    # Settled so many times; `open` means that a Series settled which no revision covers.
    Column("revision", Integer, nullable=False),
    Column("open", Boolean, nullable=False),
    # Before then looking at it tells nothing new.
    Column("look_at", Float, nullable=False),
    Column("settled_at", Float),
    Index("study_due", "open", "look_at"),
)

revisions = Table(
    "revision",
    metadata,
    Column("id", Number, primary_key=True),
    Column("study_instance_uid", String(64), nullable=False),
    # Empty for a revision of the Study.
    Column("series_instance_uid", String(64), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("reason", String, nullable=False),
    Column("words", String, nullable=False),
    # What was announced, where it was; and how much of it was not there.
    Column("expected", Integer),
    Column("missing", Integer, nullable=False),
    Column("instances", Integer, nullable=False),
    Column("jobs", Integer, nullable=False),
    Column("settled_at", Float, nullable=False),
    Column("node", String, nullable=False, server_default=""),
    Index(
        "revision_of", "study_instance_uid", "series_instance_uid", "revision", "node", unique=True
    ),
)
