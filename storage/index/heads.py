"""Keep heads in the index, each as its difference from another of its Series, and give them back.

They are filled behind the rows: what was stored a moment ago may have none yet.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import duckdb
from pyarrow import lib as arrow

from dicom.entity import Location
from dicom.json_patch import patched
from dicom.selection import Stored
from storage.index.keys import hashed, near
from storage.index.narrowing import among, narrowed

_MOST: Final = 500
"""So many heads are in memory at once."""
_OF_SERIES: Final = """
    SELECT SOPInstanceUID, base, json FROM {heads}
    WHERE SeriesInstanceUID = $1 AND (base IS NULL OR {among})"""


class HeadRow(NamedTuple):
    """One head as it is stored."""

    series_instance_uid: str
    sop_instance_uid: str
    base: str | None
    """The object from whose head this one is told by difference."""
    json: str


def headless(
    cursor: duckdb.DuckDBPyConnection, objects: Sequence[tuple[str, Location]]
) -> list[int]:
    """Say which objects, by UID and place, the index refers to and has no head of, by number.

    MOST of storage/index/keys.py at most.
    """
    known = _places(cursor, [uid for uid, _ in objects])
    places = {(uid, segment, offset): series for uid, series, segment, offset in known}
    having = _having(cursor, sorted(set(places.values())))
    wanted = (
        (number, places.get((uid, place.segment, place.offset)), uid)
        for number, (uid, place) in enumerate(objects)
    )
    return [number for number, series, uid in wanted if series is not None and uid not in having]


def _places(cursor: duckdb.DuckDBPyConnection, uids: Sequence[str]) -> list[tuple[Any, ...]]:
    words = (
        "SELECT SOPInstanceUID, SeriesInstanceUID, segment, segment_offset FROM instance"  # noqa: S608  (our own names)
        f" WHERE {near('instance', 'SOPInstanceUID', uids)}"
    )
    return cursor.execute(words).fetchall()


def _having(cursor: duckdb.DuckDBPyConnection, series: Sequence[str]) -> set[str]:
    """List the objects of some series that have a head."""
    if not series:
        return set()
    words = (
        "SELECT SOPInstanceUID FROM head_stored"  # noqa: S608  (our own names)
        f" WHERE {near('head_stored', 'SeriesInstanceUID', series)}"
    )
    return {uid for (uid,) in cursor.execute(words).fetchall()}


def file_heads(cursor: duckdb.DuckDBPyConnection, rows: Sequence[HeadRow]) -> None:
    """Insert heads that are not there yet."""
    if not rows:
        return
    names = ("SeriesInstanceUID", "SOPInstanceUID", "base", "json")
    columns: dict[str, list[Any]] = dict(
        zip(names, map(list, zip(*rows, strict=True)), strict=True)
    )
    columns["SeriesInstanceUID_hash"] = [hashed(row.series_instance_uid) for row in rows]
    types = [*((name, arrow.string()) for name in names), ("SeriesInstanceUID_hash", arrow.int64())]
    cursor.register("batch", arrow.table(columns, schema=arrow.schema(types)))
    try:
        cursor.execute("INSERT INTO head_stored BY NAME SELECT * FROM batch")
    finally:
        cursor.unregister("batch")


def heads_of(
    cursor: duckdb.DuckDBPyConnection, stored: Sequence[Stored]
) -> Iterator[tuple[Stored, Mapping[str, object] | None]]:
    """Give the head of each object, in their order; None where the index has none yet."""
    for series, members in groupby(stored, key=lambda one: one.series_instance_uid):
        every = list(members)
        for start in range(0, len(every), _MOST):
            yield from _of_series(cursor, series, every[start : start + _MOST])


def _of_series(
    cursor: duckdb.DuckDBPyConnection, series: str, members: Sequence[Stored]
) -> Iterator[tuple[Stored, Mapping[str, object] | None]]:
    uids = [one.instance.arrival.sop_instance_uid for one in members]
    words = _OF_SERIES.format(
        heads=narrowed("head_stored", {"SeriesInstanceUID": [series]}),
        among=among("SOPInstanceUID", uids, lambda _: "$2"),
    )
    rows = cursor.execute(words, [series, uids]).fetchall()
    texts = {uid: (base, text) for uid, base, text in rows}
    wanted = {base for uid in uids if uid in texts and (base := texts[uid][0])}
    bases = {uid: json.loads(texts[uid][1]) for uid in wanted if uid in texts}
    for one, uid in zip(members, uids, strict=True):
        yield one, _whole(texts.get(uid), bases)


def _whole(
    found: tuple[str | None, str] | None, bases: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, object] | None:
    if found is None or (found[0] is not None and found[0] not in bases):
        return None
    base, own = found[0], json.loads(found[1])
    return own if base is None else patched(bases[base], own)
