"""Names of a lake's files: Hive partitions whose values are safe in every store and every path."""

import re
from datetime import UTC, datetime
from typing import Final

UNDATED: Final = "1900-01-01"
"""The partition of what may not say when it was: readers can still take `date` for a date."""
NO_MODALITY: Final = "NONE"
OTHER: Final = "OTHER"
"""Where the text of a Modality may not leave."""
_LONGEST: Final = 64
_ODD: Final = re.compile(r"[^A-Z0-9-]")


def day_of(moment: float) -> str:
    """Name the day of a moment, seconds since the epoch, in UTC."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


def safe_modality(text: str) -> str:
    """Write a Modality for a path: capitals, digits and hyphens stay, all else becomes _XX.

    Two that differ stay different, up to 64 characters.
    """
    if not text:
        return NO_MODALITY
    written = _ODD.sub(lambda odd: "".join(f"_{byte:02X}" for byte in _bytes(odd[0])), text)
    return written[:_LONGEST]


def folder(lake: str, table: str) -> str:
    """Name the folder of a lake's table, under the prefix of its destination."""
    return f"lake/{lake}/{table}"


def part_name(
    lake: str, table: str, partition: tuple[str, str], rows: tuple[int, int], number: int
) -> str:
    """Name a file by the rows that it is about, so that the same rows have the same name again.

    `partition` is its date and its modality as `safe_modality` has it; `rows` are those after the
    first number, up to and with the second, of which this is file `number` of the partition.
    """
    date, modality = partition
    after, last = rows
    part = f"part-{after + 1:012}-{last:012}-{number:03}"
    if table == "events":
        return f"{folder(lake, table)}/date={date}/{part}.json.gz"
    return f"{folder(lake, table)}/date={date}/modality={modality}/{part}.parquet"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
