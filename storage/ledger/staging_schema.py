"""The table of what lies in object storage for other machines, part of the ledger's database."""

from typing import Final

from sqlalchemy import Column, Float, Index, String, Table

from storage.ledger.schema import metadata

staged: Final = Table(
    "staged",
    metadata,
    Column("sop_instance_uid", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("study_instance_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    # Where in the bucket, as a receipt says it.
    Column("location", String, nullable=False),
    Column("staged_at", Float, nullable=False),
    # Since when it is being removed; it counts as gone then.
    Column("leaving_at", Float),
    Index("staged_by_series", "study_instance_uid", "series_instance_uid"),
)
