"""The ledger's tables (SQLAlchemy Core), the same on every database that carries them."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles

from storage.ledger.migrate import Step

VERSION: Final = 2
_OLD_POSITIONS: Final = "position"
"""Until version 1: without the node, which could not be added to a primary key."""

metadata = MetaData()

Number: Final = BigInteger().with_variant(Integer, "sqlite")
"""A row's id: there may be more than 2**31, and only INTEGER counts up by itself in SQLite."""


@compiles(String, "postgresql")
def _without_length(_type: String, _compiler: object, **_: object) -> str:
    # Lengths are for whoever reads the tables. SQLite does not know them either, and a node must
    # not stop at one sender's longer text on one of the two.
    return "VARCHAR"


versions = Table("version", metadata, Column("version", Integer, primary_key=True))

instances = Table(
    "instance",
    metadata,
    Column("id", Number, primary_key=True),
    Column("sop_instance_uid", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("sop_class_uid", String(64), nullable=False),
    Column("transfer_syntax_uid", String(64), nullable=False),
    # Both empty while an object could not be filed.
    Column("study_instance_uid", String(64), nullable=False),
    Column("series_instance_uid", String(64), nullable=False),
    Column("segment", String, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("calling_ae", String(16), nullable=False),
    Column("called_ae", String(16), nullable=False),
    Column("association", String, nullable=False),
    Column("address", String, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("origin", String, nullable=False),
    Column("rule", String, nullable=False),
    # Another object came first under the same UID (P7): kept, never delivered by itself.
    Column("conflict", Boolean, nullable=False),
    # Whose spool holds its bytes; empty in a ledger that only one node uses.
    Column("node", String, nullable=False, server_default=""),
    # As its head says; empty where it says nothing, or no number.
    Column("instance_number", Integer),
    # When retention let its bytes go; they are no longer in the spool then, this row stays.
    Column("released_at", Float),
    # When this row was written; empty for those of older releases.
    Column("filed_at", Float),
    UniqueConstraint("sop_instance_uid", "digest"),
    Index("instance_by_series", "study_instance_uid", "series_instance_uid"),
    Index("instance_by_segment", "segment"),
    # For who asks what can be had at once; nothing at the door writes into it.
    Index(
        "instance_released",
        "study_instance_uid",
        "node",
        "series_instance_uid",
        sqlite_where=text("released_at IS NOT NULL"),
        postgresql_where=text("released_at IS NOT NULL"),
    ),
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
    Column("settled_to", BigInteger, nullable=False),
    Column("settled_at", Float),
    Column("reason", String),
    # Who files it and settles it: the node that had the first of its Instances.
    Column("node", String, nullable=False, server_default=""),
    # When somebody last wanted its bytes.
    Column("asked_at", Float),
    # When retention let the last of its Instances go; empty again when one comes.
    Column("released_at", Float),
    # While it is open: before then looking at it tells nothing new.
    Column("look_at", Float, nullable=False, server_default="0"),
    # Its revision that the last revision of its Study covered.
    Column("in_study", Integer, nullable=False, server_default="0"),
    Index("series_open", "open", "last_at"),
    Index("series_due", "open", "look_at"),
)

# How far each node's log is followed. Two nodes may have segments of one name.
positions = Table(
    "spool_position",
    metadata,
    Column("node", String, primary_key=True, server_default=""),
    Column("segment", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    # Since when its file may be removed: nothing in it is needed any more.
    Column("leaving_at", Float),
)

jobs = Table(
    "job",
    metadata,
    Column("id", Number, primary_key=True),
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
    # Whose spool holds the bytes that it needs; empty in a ledger that only one node uses.
    Column("node", String, nullable=False, server_default=""),
    Column("fault", String, nullable=False),
    Column("words", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    # Twice the rule's, and one more for what a model made (routing/job.py).
    Column("priority", Integer, nullable=False, server_default="0"),
    # Since when it fails by itself; empty while it does not.
    Column("failing_since", Float),
    # When a worker first began it.
    Column("begun_at", Float),
    # How many workers died over it.
    Column("losses", Integer, nullable=False, server_default="0"),
    Index("job_due", "state", "kind", "node", "target", "priority", "not_before", "id"),
    Index("job_by_target", "state", "target", "id"),
    Index("job_lane", "lane", "state"),
    # Whatever else happens, one Series is on its way to one target once.
    Index(
        "job_running_lane",
        "lane",
        unique=True,
        sqlite_where=text("state = 'running'"),
        postgresql_where=text("state = 'running'"),
    ),
    Index("job_by_series", "study_instance_uid", "series_instance_uid"),
)

receipts = Table(
    "receipt",
    metadata,
    Column("id", Number, primary_key=True),
    Column("job", BigInteger, nullable=False),
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
    # The store's own word for the content, and what was sent, as the destination tells it.
    Column("etag", String, nullable=False, server_default=""),
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    Column("sop_class_uid", String(64), nullable=False, server_default=""),
    Column("study_instance_uid", String(64), nullable=False, server_default=""),
    Column("series_instance_uid", String(64), nullable=False, server_default=""),
    # Of the job: which try of its was it, and for whom.
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("rule", String, nullable=False, server_default=""),
    # When the destination was last asked again and still held it.
    Column("proven_at", Float),
    UniqueConstraint("destination", "profile", "source_uid", "source_digest"),
    Index("receipt_by_source", "source_uid"),
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
    Column("id", Number, primary_key=True),
    Column("type", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("data", JSON, nullable=False),
    Column("at", Float, nullable=False),
    Column("published", Boolean, nullable=False),
    Index("event_unpublished", "published", "id"),
    sqlite_autoincrement=True,
)

JOBS_CHANNEL: Final = "penumbra_jobs"
EVENTS_CHANNEL: Final = "penumbra_events"

_TELL: Final = """
CREATE OR REPLACE FUNCTION penumbra_tell() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_notify(TG_ARGV[0], ''); RETURN NULL; END$$
"""
_TELL_OF_JOBS: Final = f"""
CREATE TRIGGER job_news AFTER INSERT OR UPDATE OF state ON job FOR EACH ROW
WHEN (NEW.state <> 'running') EXECUTE FUNCTION penumbra_tell('{JOBS_CHANNEL}')
"""
_TELL_OF_EVENTS: Final = f"""
CREATE TRIGGER event_news AFTER INSERT ON event FOR EACH STATEMENT
EXECUTE FUNCTION penumbra_tell('{EVENTS_CHANNEL}')
"""
# Whoever writes, with whatever code: PostgreSQL tells whoever listens, when it is committed.
for _table, _statement in (
    (jobs, _TELL),
    (jobs, _TELL_OF_JOBS),
    (events, _TELL),
    (events, _TELL_OF_EVENTS),
):
    _ddl = DDL(_statement)  # type: ignore[no-untyped-call]  # SQLAlchemy's
    event.listen(_table, "after_create", _ddl.execute_if(dialect="postgresql"))


def _move_positions(db: Connection) -> None:
    there = inspect(db)
    if not there.has_table(_OLD_POSITIONS):
        return
    old = Table(_OLD_POSITIONS, MetaData(), autoload_with=db)
    shared = [column.name for column in positions.columns if column.name in old.columns]
    kept = select(*(old.columns[name] for name in shared))
    db.execute(positions.insert().from_select(shared, kept, include_defaults=False))
    old.drop(db)


STEPS: Final[Sequence[Step]] = (_move_positions,)
