"""The index's tables of heads in DICOM JSON, and the view that shows them whole (PS3.18 F.2).

A head is stored as its difference from an earlier one of its Series, or whole where `base` is
NULL: some 20 times less than all of them whole.
"""

from typing import Final

_WHOLE: Final = """
    CREATE VIEW head AS SELECT
        instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.SOPInstanceUID,
        CASE WHEN stored.base IS NULL THEN stored.json
            ELSE json_merge_patch(base.json, stored.json) END AS head
    FROM head_stored AS stored
    JOIN instance ON instance.SOPInstanceUID = stored.SOPInstanceUID
    LEFT JOIN head_stored AS base
        ON base.SeriesInstanceUID_hash = stored.SeriesInstanceUID_hash
        AND base.SOPInstanceUID = stored.base AND base.base IS NULL"""


_COLUMNS: Final = (
    "SeriesInstanceUID_hash BIGINT NOT NULL",
    "SeriesInstanceUID VARCHAR NOT NULL",
    "SOPInstanceUID VARCHAR NOT NULL",
    "base VARCHAR",
    "json VARCHAR NOT NULL",
)


def statements() -> list[str]:
    """List the statements that make the tables."""
    return [
        f"CREATE TABLE head_stored ({', '.join(_COLUMNS)})",
        "CREATE INDEX head_series ON head_stored (SeriesInstanceUID_hash)",
        "CREATE TABLE head_position (segment VARCHAR PRIMARY KEY, position BIGINT NOT NULL)",
        _WHOLE,
    ]
