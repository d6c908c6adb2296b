"""Bring a database to the tables of this release: what is missing is added, nothing is taken away.

Runs inside the caller's writing transaction, so that of two processes that start at once the
second finds everything done. A new column must be nullable or have a `server_default`: rows that
are there need a value for it. A new rule of uniqueness is a unique Index, not a constraint.
"""

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, MetaData, Table, inspect, select, update
from sqlalchemy.schema import CreateColumn

from dicom.errors import Corrupt

Step = Callable[[Connection], None]
"""What no general rule can do; it finds out by itself whether it has been done."""

NO_STEPS: Final[Sequence[Step]] = ()


def migrate(
    db: Connection, tables: MetaData, version: int, name: str, steps: Sequence[Step] = NO_STEPS
) -> None:
    """Make tables, columns and indexes that are missing, take the steps, note the version.

    Raises Corrupt when a newer release has written to it: this one may not understand its rows.
    """
    versions = tables.tables["version"]
    versions.create(db, checkfirst=True)
    found = db.scalar(select(versions.c.version))
    if found is not None and found > version:
        raise Corrupt(
            f"{name} has version {found}, this release reads {version}: it was written by a newer"
            " release; install that one, or put back the backup from before"
        )
    tables.create_all(db)
    if found is not None:
        _complete(db, tables)
    for step in steps:
        step(db)
    if found is None:
        db.execute(versions.insert().values(version=version))
    elif found != version:
        db.execute(update(versions).values(version=version))


def _complete(db: Connection, tables: MetaData) -> None:
    """Add to tables what an older release did not make."""
    names = list(tables.tables)
    there = inspect(db)
    all_columns = there.get_multi_columns(filter_names=names)
    all_indexes = there.get_multi_indexes(filter_names=names)
    for table in tables.sorted_tables:
        here = (table.schema, table.name)
        columns = {column["name"] for column in all_columns[here]}
        for column in table.columns:
            if column.name not in columns:
                _add_column(db, table, column.name)
        indexes = {index["name"] for index in all_indexes[here]}
        for index in table.indexes:
            if index.name not in indexes:
                index.create(db)


def _add_column(db: Connection, table: Table, name: str) -> None:
    column = table.columns[name]
    assert column.nullable or column.server_default is not None, f"{table.name}.{name}"
    shape = CreateColumn(column).compile(dialect=db.dialect)
    here = db.dialect.identifier_preparer.format_table(table)
    db.exec_driver_sql(f"ALTER TABLE {here} ADD COLUMN {shape}")
