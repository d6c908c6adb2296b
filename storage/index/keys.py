"""Numbers in the place of UIDs, by which rows are found: an index on them takes half the memory.

DuckDB keeps its indexes in memory. Two UIDs may share a number, so whoever asks by number asks by
the UID as well.
"""

from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import md5
from typing import Final

MOST: Final = 2_000
"""Longer lists are quicker read through."""
HASHED: Final = frozenset({"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"})


def hash_column(keyword: str) -> str:
    """Name the column of a UID's number."""
    return f"{keyword}_hash"


@lru_cache(16_384)
def hashed(uid: str) -> int:
    """Give a UID's number, as `in_sql` does: 63 bits of its MD5, which DuckDB knows as well."""
    digest = md5(uid.encode("utf-8", "replace"), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") >> 1


def in_sql(column: str) -> str:
    """Write the number of a column of UIDs."""
    return f"(md5_number_lower({column}) >> 1)::BIGINT"


def is_any(column: str, uids: Iterable[str]) -> str:
    """Write that a column of numbers is that of one of these UIDs: at least one, MOST at most."""
    numbers = sorted({hashed(uid) for uid in uids})
    return f"{column} IN ({', '.join(map(str, numbers))})"


def near(table: str, keyword: str, uids: Collection[str]) -> str:
    """Write the same of a table's column; "TRUE" where the list is too long to help."""
    if not 0 < len(uids) <= MOST:
        return "TRUE"
    return is_any(f"{table}.{hash_column(keyword)}", uids)
