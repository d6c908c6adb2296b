"""The table of associations that ended, part of the ledger's database."""

from typing import Final

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table

from storage.ledger.schema import Number, metadata

associations: Final = Table(
    "association",
    metadata,
    Column("id", Number, primary_key=True),
    # What objects and log lines name it by.
    Column("name", String, nullable=False),
    # Whose door it came to; empty in a ledger that only one node uses.
    Column("node", String, nullable=False, server_default=""),
    Column("began_at", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("calling_ae", String, nullable=False),
    Column("called_ae", String, nullable=False),
    Column("address", String, nullable=False),
    Column("tls_name", String),
    # Accepted, rejected, or no TLS; and why it was turned away.
    Column("verdict", String, nullable=False),
    Column("cause", String, nullable=False),
    # How an accepted one ended, and why.
    Column("outcome", String, nullable=False),
    Column("words", String, nullable=False),
    Column("accepted_contexts", Integer, nullable=False),
    Column("refused_contexts", Integer, nullable=False),
    # C-STORE requests that were answered, by status: {"0x0000": 3}.
    Column("statuses", JSON, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Index("association_by_name", "name"),
)
