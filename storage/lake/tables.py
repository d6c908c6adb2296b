"""The tables of a lake: their columns, and what each is in Parquet, Athena and BigQuery.

Columns are named by DICOM keyword; what the node adds of its own is in snake case. The modality and
the date are no columns of a file: they stand in its path. New columns may come with new releases;
readers take columns by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from dicom.attributes import DERIVED, Attribute, Level, of_level

Type = Literal["text", "whole", "fraction", "day", "moment", "flag"]

_TYPES: Final[Mapping[str, Type]] = {"DA": "day", "DT": "moment", "IS": "whole", "US": "whole"}
"""Of value representations; a TM is text, "HH:MM:SS.ffffff": Athena knows no time of day."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its type, and what it says."""

    name: str
    type: Type
    words: str = ""


def attributes() -> tuple[Attribute, ...]:
    """List the attributes that become columns, from the Study down to the Instance.

    Modality is none of them: the path has it, made safe, and modality_as_written has its text.
    """
    levels = (Level.STUDY, Level.PATIENT, Level.SERIES, Level.IMAGE)
    every = [one for level in levels for one in of_level(level)]
    return tuple(one for one in every if one.keyword not in {*DERIVED, "Modality"})


METADATA: Final = (
    *(Column(one.keyword, _TYPES.get(one.vr, "text")) for one in attributes()),
    Column("modality_as_written", "text", "Modality (0008,0060) as the object has it"),
    Column("received_at", "moment", "when the node took it in, UTC"),
    Column("calling_ae", "text", "who sent it"),
    Column("called_ae", "text", "under which title the node was called"),
    Column("address", "text", "from where"),
    Column("association", "text", "the association's id, as in logs"),
    Column("origin", "text", "dimse, web, folder, bucket, or ai for a result"),
    Column("rule", "text", "of a result: the rule that asked for it"),
    Column("transfer_syntax_uid", "text"),
    Column("digest", "text", "SHA-256 of the Part 10 file"),
    Column("length_bytes", "whole", "length of the Part 10 file"),
    Column("conflict", "flag", "whether another object came first under the same UID"),
    Column("profile", "text", "digest of the profile under which this row left"),
    Column("head_state", "text", "whole; or large, released, unreadable: head is empty then"),
    Column("head", "text", "the DICOM JSON Model without bulk data (PS3.18 F)"),
)
"""A row for each Instance."""

LINEAGE: Final = (
    Column("receipt", "whole", "the receipt's number in the ledger"),
    Column("destination", "text", "where it went"),
    Column("location", "text", "where it lies there"),
    Column("StudyInstanceUID", "text", "of the original"),
    Column("SeriesInstanceUID", "text", "of the original"),
    Column("source_uid", "text", "SOP Instance UID of the original"),
    Column("source_digest", "text", "SHA-256 of the original"),
    Column("left_as_study", "text", "Study Instance UID as it left"),
    Column("left_as_series", "text", "Series Instance UID as it left"),
    Column("left_as", "text", "SOP Instance UID as it left"),
    Column("sop_class_uid", "text"),
    Column("profile", "text", "digest of the profile that was applied; empty for none"),
    Column("digest_sent", "text", "SHA-256 of what was sent"),
    Column("digest_read_back", "text", "SHA-256 of what the destination holds"),
    Column("proof", "text", "read-back, checksum, or the status of the answer"),
    Column("etag", "text", "the store's own word for the content"),
    Column("size_bytes", "whole"),
    Column("rule", "text", "for whom"),
    Column("job", "whole"),
    Column("attempt", "whole"),
    Column("delivered_at", "moment", "UTC"),
    Column("delay_s", "fraction", "from arrival to delivery"),
)
"""A row for each receipt."""

EVENTS: Final = (
    Column("id", "whole"),
    Column("type", "text"),
    Column("subject", "text", "a UID or a name"),
    Column("happened_at", "text", "ISO 8601, UTC"),
    Column("data", "text", "a JSON object"),
)
"""A line of JSON for each event."""

TABLES: Final[Mapping[str, tuple[Column, ...]]] = {
    "metadata": METADATA,
    "lineage": LINEAGE,
    "events": EVENTS,
}
