"""The tables of exports to lakes: how far each is, what it wrote, and when it is due."""

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    false,
)

from storage.ledger.schema import Number, metadata

marks: Final = Table(
    "lake_mark",
    metadata,
    Column("lake", String, primary_key=True),
    Column("part", String, primary_key=True),
    # Whose Instances; empty for what all nodes share.
    Column("node", String, primary_key=True, server_default=""),
    # The newest row that was exported.
    Column("position", BigInteger, nullable=False),
    # The newest row of the step under way: a step that was cut is repeated as it was.
    Column("until", BigInteger),
)

steps: Final = Table(
    "lake_step",
    metadata,
    Column("id", Number, primary_key=True),
    Column("lake", String, nullable=False),
    Column("part", String, nullable=False),
    Column("node", String, nullable=False, server_default=""),
    # The rows after the first, up to and with the last.
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    # When the newest of them was written.
    Column("newest_at", Float, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # What lies in the lake: location, date, modality, rows, size and SHA-256 of each part.
    Column("files", JSON, nullable=False),
    # How many rows may not leave, by the fault, and all together.
    Column("withheld", JSON, nullable=False),
    Column("withheld_count", Integer, nullable=False),
    # Instances that nobody could file when it was done, by id, and how many.
    Column("unfiled", JSON, nullable=False),
    Column("unfiled_count", Integer, nullable=False),
    Column("profile", String, nullable=False),
    Column("job", BigInteger, nullable=False),
    Column("exported_at", Float, nullable=False),
    # Whether it is to be done once more.
    Column("again", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("lake", "part", "node", "last"),
    Index("lake_step_again", "lake", "again"),
)

schedules: Final = Table(
    "lake_schedule",
    metadata,
    Column("lake", String, primary_key=True),
    Column("node", String, primary_key=True, server_default=""),
    # What the config said when it was written: another word means another time.
    Column("words", String, nullable=False),
    Column("due_at", Float, nullable=False),
)
