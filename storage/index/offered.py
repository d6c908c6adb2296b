"""What may be asked about over HTTP: tables and columns for each role, by allow-list.

`Role.PLAIN` is for whoever counts and measures: no names, no numbers and UIDs of patients, studies
or objects, no birth dates, no texts that people type about a patient, no addresses. In the place
of UIDs and Patient IDs it has keys: the same each time in one index, good for joins, and of no use
elsewhere. `Role.IDENTIFIED` has every column, and the keys too. docs/sql.md tells of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

from dicom.errors import NotAuthorised
from storage.index import account_schema, schema
from storage.index.outcomes import OUTCOME
from storage.index.taken_from_heads import HEAD_COLUMNS
from storage.index.taken_from_heads import VIEWS as OF_HEADS

VIEWS: Final = {**OF_HEADS, "outcome": OUTCOME}


class Role(StrEnum):
    """As whom a question is asked; the words are those of `[tokens.NAME] may`."""

    PLAIN = "sql"
    IDENTIFIED = "identified-sql"


@dataclass(frozen=True, slots=True)
class Offer:
    """One table as a role sees it."""

    source: str
    """Behind FROM, in the index."""
    columns: Mapping[str, str]
    """SQL expressions by the names of the columns."""

    def select(self, names: Sequence[str]) -> str:
        """Make the statement that reads some columns. Raises NotAuthorised for any other."""
        picked = []
        for name in names:
            if name not in self.columns:
                raise NotAuthorised("a column is asked for that is not offered")
            picked.append(f'{self.columns[name]} AS "{name}"')
        return f"SELECT {', '.join(picked)} FROM {self.source}"  # noqa: S608  (our own names, looked up)


def _key(*columns: str) -> str:
    """Make a key of columns; NULL where the last of them is unknown."""
    *others, last = columns
    text = " || chr(10) || ".join(
        [*(f"coalesce({one}, '')" for one in others), f"nullif({last}, '')"]
    )
    return f"left(sha256((SELECT salt FROM pseudonym) || {text}), 20)"  # noqa: S608  (our own names)


_STUDY: Final = {"study_key": _key("StudyInstanceUID")}
_SERIES: Final = {"series_key": _key("SeriesInstanceUID")}
_INSTANCE: Final = {"instance_key": _key("SOPInstanceUID")}
_SOURCE: Final = {"instance_key": _key("source_uid")}
_PATIENT: Final = {"patient_key": _key("IssuerOfPatientID", "PatientID")}

_KEYS: Final[Mapping[str, Mapping[str, str]]] = {
    "patient": _PATIENT,
    "study": {**_STUDY, **_PATIENT},
    "series": {**_STUDY, **_SERIES},
    "instance": {**_STUDY, **_SERIES, **_INSTANCE},
    "objects": {**_STUDY, **_SERIES, **_INSTANCE, **_PATIENT},
    "head": {**_STUDY, **_SERIES, **_INSTANCE},
    "series_revision": {**_STUDY, **_SERIES},
    "study_revision": _STUDY,
    "job": {**_STUDY, **_SERIES},
    "delivery": _SOURCE,
    "inference": {**_STUDY, **_SERIES},
    **{name: {**_STUDY, **_SERIES, **_INSTANCE} for name in VIEWS},
    "rejection": {**_STUDY, "instance_key": _key("rejected_uid")},
}

_OF_STUDY: Final = (
    "StudyDate StudyTime PatientSex ModalitiesInStudy SOPClassesInStudy"
    " NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"
)
_OF_SERIES: Final = (
    "Modality SeriesNumber SeriesDate SeriesTime BodyPartExamined Laterality PatientPosition"
    " ProtocolName PerformedProcedureStepStartDate PerformedProcedureStepStartTime"
    " InstitutionalDepartmentName StationName Manufacturer ManufacturerModelName"
    " NumberOfSeriesRelatedInstances"
)
_OF_INSTANCE: Final = (
    "SOPClassUID InstanceNumber ContentDate ContentTime AcquisitionDate AcquisitionTime"
    " AcquisitionDateTime AcquisitionNumber ImageType Rows Columns NumberOfFrames"
    " CompletionFlag VerificationFlag received_at calling_ae called_ae association origin rule"
    " transfer_syntax_uid length_bytes"
)
_OF_THE_INDEX: Final = ("_folded", "_hash")
"""What columns end with that are there for the index's own searching."""
_OF_REVISION: Final = "id revision reason expected missing instances jobs settled_at node"

_PLAIN: Final[Mapping[str, str]] = {
    "patient": "PatientSex",
    "study": _OF_STUDY,
    "series": _OF_SERIES,
    "instance": _OF_INSTANCE,
    "objects": f"{_OF_STUDY} {_OF_SERIES} {_OF_INSTANCE}",
    "association": (
        "id association began_at ended_at seconds calling_ae called_ae verdict cause outcome"
        " accepted_contexts refused_contexts objects refused_objects statuses length_bytes node"
    ),
    "series_revision": f"{_OF_REVISION} first_received_at last_received_at filed_at",
    "study_revision": _OF_REVISION,
    "job": (
        "id kind revision rule target profile state attempts losses priority fault"
        " created_at begun_at changed_at ended_at node"
    ),
    "delivery": (
        "id job destination rule profile SOPClassUID proof length_bytes attempt delivered_at"
    ),
    "event": "id type happened_at",
    "inference": (
        "id beside job model served_model version digest stage server endpoint revision rule"
        " outcome images is_cached scanner protocol began_at read_s model_s report_s outputs"
        " features node"
    ),
    **{name: " ".join(one.plain) for name, one in VIEWS.items()},
}
"""The whole of what Role.PLAIN sees, beside keys: what is not named here is not there."""


@cache
def offered(role: Role) -> Mapping[str, Offer]:
    """Give the tables of a role by name."""
    found: dict[str, Offer] = {}
    for table, names in _every_column().items():
        keys = _KEYS.get(table, {})
        if role is Role.PLAIN and table not in _PLAIN:
            continue
        picked = _PLAIN[table].split() if role is Role.PLAIN else names
        plain = {name: f'"{name}"' for name in picked if name in names}
        source = VIEWS[table].source if table in VIEWS else table
        found[table] = Offer(source, {**keys, **plain})
    return found


def _every_column() -> dict[str, list[str]]:
    """List the columns of each table of the index that is there to be asked about."""
    of_index = {
        table: [one.name for one in columns if not one.name.endswith(_OF_THE_INDEX)]
        for table, columns in schema.COLUMNS.items()
    }
    in_one = [of_index[table] for table in ("instance", "series", "study")]
    return {
        **of_index,
        "objects": list(dict.fromkeys(name for names in in_one for name in names)),
        **{
            table: [name for name, _ in columns] for table, columns in account_schema.TABLES.items()
        },
        "head": list(HEAD_COLUMNS),
        **{name: list(one.columns) for name, one in VIEWS.items()},
    }
