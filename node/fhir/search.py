"""What a search for ImagingStudy asks: from parameters of FHIR R4 into what the index knows.

A parameter that is not known is refused, and not ignored: who asks for one patient must not be
given all of them.
"""

import datetime as dt
import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dicom.errors import ServiceFault
from node.fhir import words
from node.fhir.imaging_study import UID_SYSTEM
from storage.index.imaging import StudyFilter

DEFAULT_COUNT: Final = 20
MOST: Final = 200
"""So many Studies are on one page at most."""
AFTER: Final = "_after"
"""Our own parameter, in links to the next page: the id of the last one on this."""
_LONGEST: Final = 20
"""Values of one parameter."""
_DATE: Final = re.compile(
    r"(eq|ne|gt|lt|ge|le|sa|eb)?([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(T.+)?)?)?"
)
_IGNORED: Final = frozenset({"_format", "_pretty", "_total"})
"""What is answered for in another place, or always done."""


class BadSearch(ServiceFault):
    """A search that cannot be answered as it is asked."""

    code = "bad-search"


@dataclass(frozen=True, slots=True)
class Search:
    """A search: what Studies must be, and which page of them is asked for."""

    wanted: StudyFilter
    count: int
    after: str


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a value of a date stands for: from `first` on, and before `end`."""

    prefix: str
    first: dt.datetime
    end: dt.datetime


def read(asked: Sequence[tuple[str, str]], issuers: Mapping[str, str]) -> Search:
    """Read the parameters of a search. Raises BadSearch, which names the parameter, not a value."""
    wanted, count, after, is_count = StudyFilter(), DEFAULT_COUNT, "", False
    for name, value in asked:
        listed = value.split(",")
        if len(listed) > _LONGEST:
            raise BadSearch(f"{name}: more than {_LONGEST} values")
        if name == "_count":
            count = _count(value)
        elif name == AFTER:
            after = value
        elif (name, value) == ("_summary", "count"):
            is_count = True
        elif name not in _IGNORED:
            reader = _READERS.get(name)
            if reader is None:
                known = ", ".join(sorted({*_READERS, "_count"}))
                raise BadSearch(f"there is no parameter of this name; there are {known}")
            reader(wanted, name, listed, issuers)
    return Search(wanted, 0 if is_count else count, after)


def _count(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise BadSearch("_count: is no whole number of 0 or more")
    return min(int(value), MOST)


def _id(wanted: StudyFilter, _name: str, listed: Sequence[str], _: Mapping[str, str]) -> None:
    digests = [one.removeprefix(words.MARK) for one in listed if one.startswith(words.MARK)]
    wanted.of_uids(listed, digests, words.DIGEST_LENGTH)


def _identifier(
    wanted: StudyFilter, name: str, listed: Sequence[str], _: Mapping[str, str]
) -> None:
    uids, accessions = [], []
    for one in listed:
        system, bar, value = one.rpartition("|")
        if value.startswith("urn:oid:"):
            uids.append(value.removeprefix("urn:oid:"))
        elif system == UID_SYSTEM:
            uids.append(value)
        elif not system or not bar:
            accessions.append(value)
        if not value:
            raise BadSearch(f"{name}: needs a value: urn:oid:1.2.3, or an accession number")
    wanted.of_identifiers(uids, accessions)


def _series(wanted: StudyFilter, _name: str, listed: Sequence[str], _: Mapping[str, str]) -> None:
    wanted.of_members("series", "SeriesInstanceUID", _uids(listed))


def _instance(wanted: StudyFilter, _name: str, listed: Sequence[str], _: Mapping[str, str]) -> None:
    wanted.of_members("instance", "SOPInstanceUID", _uids(listed))


def _uids(listed: Sequence[str]) -> list[str]:
    return [one.rpartition("|")[2].removeprefix("urn:oid:") for one in listed]


def _patient(
    wanted: StudyFilter, name: str, listed: Sequence[str], issuers: Mapping[str, str]
) -> None:
    issuer_of = {system: issuer for issuer, system in issuers.items()}
    patients: list[tuple[str, str | None]] = []
    for one in listed:
        system, bar, value = one.rpartition("|")
        if not value:
            raise BadSearch(f"{name}: needs a value: system|identifier, or an identifier alone")
        if not bar:
            patients.append((value, None))
        elif not system or system in issuer_of:  # "|value" asks for identifiers without a system
            patients.append((value, issuer_of.get(system, "")))
    wanted.of_patients(patients)


def _modality(wanted: StudyFilter, name: str, listed: Sequence[str], _: Mapping[str, str]) -> None:
    codes = []
    for one in listed:
        system, _bar, code = one.rpartition("|")
        if not code:
            raise BadSearch(f"{name}: needs a code: CT, or {words.DCM}|CT")
        if system in {"", words.DCM}:
            codes.append(code)
    wanted.of_modalities(codes)


def _status(wanted: StudyFilter, _name: str, listed: Sequence[str], _: Mapping[str, str]) -> None:
    if not any(one.rpartition("|")[2] == "available" for one in listed):
        wanted.of_nothing()


def _started(wanted: StudyFilter, name: str, listed: Sequence[str], _: Mapping[str, str]) -> None:
    span = _span(name, listed)
    first, last = span.first.date(), (span.end - dt.timedelta(microseconds=1)).date()
    day = dt.timedelta(1)
    if span.prefix in {"eq", "ne"}:
        wanted.of_days(first, last, within=span.prefix == "eq")
    elif span.prefix in {"gt", "sa"}:
        wanted.of_days(last + day, None)
    elif span.prefix in {"lt", "eb"}:
        wanted.of_days(None, first - day)
    else:
        wanted.of_days(*((first, None) if span.prefix == "ge" else (None, last)))


def _updated(wanted: StudyFilter, name: str, listed: Sequence[str], _: Mapping[str, str]) -> None:
    span = _span(name, listed)
    if span.prefix == "ne":
        raise BadSearch(f"{name}: cannot be asked with ne")
    first = {"eq": span.first, "ge": span.first, "gt": span.end, "sa": span.end}.get(span.prefix)
    before = {"eq": span.end, "le": span.end, "lt": span.first, "eb": span.first}.get(span.prefix)
    wanted.of_arrival(first, before)


def _span(name: str, listed: Sequence[str]) -> Span:
    """Read a date with its prefix (R4 3.1.1.4.7); times of day are UTC where they do not say."""
    found = _DATE.fullmatch(listed[0]) if len(listed) == 1 else None
    wrong = BadSearch(f"{name}: is no date, such as ge2026-11-01")
    if found is None:
        raise wrong
    try:
        prefix, year, month, day, time = found.groups()
        first, end = _bounds(int(year), month, day)
        if time:
            first = _moment(f"{year}-{month}-{day}{time}")
            end = first + dt.timedelta(seconds=1 if time.count(":") > 1 else 60)
    except (ValueError, OverflowError):
        raise wrong from None
    return Span(prefix or "eq", first, end)


def _bounds(year: int, month: str | None, day: str | None) -> tuple[dt.datetime, dt.datetime]:
    first = dt.datetime(year, int(month or 1), int(day or 1))  # noqa: DTZ001  (UTC, as the index has it)
    last = dt.datetime(  # noqa: DTZ001  (as above)
        year,
        int(month or 12),
        int(day) if day else monthrange(year, int(month or 12))[1],
    )
    return first, last + dt.timedelta(1)


def _moment(text: str) -> dt.datetime:
    """Read a moment; a blank stands for the + that URLs have for it."""
    found = dt.datetime.fromisoformat(text.replace(" ", "+"))
    return found if found.tzinfo is None else found.astimezone(dt.UTC).replace(tzinfo=None)


_READERS: Final = {
    "_id": _id,
    "_lastUpdated": _updated,
    "identifier": _identifier,
    "instance": _instance,
    "modality": _modality,
    "patient.identifier": _patient,
    "patient:identifier": _patient,
    "series": _series,
    "started": _started,
    "status": _status,
    "subject.identifier": _patient,
    "subject:identifier": _patient,
}
PARAMETERS: Final = {
    "_id": "token",
    "_lastUpdated": "date",
    "identifier": "token",
    "instance": "token",
    "modality": "token",
    "patient": "reference",
    "series": "token",
    "started": "date",
    "status": "token",
    "subject": "reference",
}
"""Search parameters as a CapabilityStatement names them; chains are parts of their references."""
