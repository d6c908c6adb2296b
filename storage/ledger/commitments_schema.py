"""The tables of storage commitment, asked of us and asked by us; part of the ledger's database."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, String, Table

from storage.ledger.schema import Number, metadata

requests = Table(
    "commitment_request",
    metadata,
    Column("id", Number, primary_key=True),
    Column("transaction_uid", String(64), nullable=False),
    # Who asked, by its AE title.
    Column("peer", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    # Lists of [SOP Class UID, SOP Instance UID]; after the verdict, [place in the list, reason].
    Column("wanted", JSON, nullable=False),
    Column("failures", JSON, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("next_look_at", Float, nullable=False),
    Column("judged_at", Float),
    Column("reported_at", Float),
    # Who has the association that asked; empty in a ledger that only one node uses.
    Column("node", String, nullable=False, server_default=""),
    # How many Instances it names: what a peer may have open is bounded by it.
    Column("instances", Integer, nullable=False, server_default="0"),
    Index("commitment_request_due", "state", "next_look_at"),
    Index("commitment_request_of", "transaction_uid"),
)

transactions = Table(
    "commitment_transaction",
    metadata,
    Column("transaction_uid", String(64), primary_key=True),
    Column("job", BigInteger, nullable=False),
    # Whom we asked, by its AE title: nobody else may answer.
    Column("peer", String(16), nullable=False),
    # A list of [receipt, SOP Class UID, SOP Instance UID].
    Column("wanted", JSON, nullable=False),
    Column("asked_at", Float, nullable=False),
    # When the peer said that it would look; empty where nobody knows that it was asked at all.
    Column("taken_at", Float),
    Column("answered_at", Float),
    # Whether the job has taken note of what came of it, or has given it up.
    Column("closed", Boolean, nullable=False),
    Index("commitment_transaction_of_job", "job"),
)

commitments = Table(
    "commitment",
    metadata,
    # The receipt that it confirms.
    Column("receipt", BigInteger, primary_key=True, autoincrement=False),
    Column("transaction_uid", String(64), nullable=False),
    Column("committed", Boolean, nullable=False),
    # Failure Reason (0008,1197); 0 where it is committed.
    Column("reason", Integer, nullable=False),
    Column("at", Float, nullable=False),
)
