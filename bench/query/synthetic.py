"""An index of made-up studies, as large as wanted, written straight through Arrow.

Studies lie in the order of their dates, as they arrive; a study has 1 to 40 series, most have few.
Names come in several scripts. Counts say what a study would hold; rows of Instances are made for
one in each series.
"""

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray
from pyarrow import lib as arrow

from storage.index.database import Index
from storage.index.keys import hash_column, hashed
from storage.index.rows import folded_text
from storage.index.schema import COLUMNS, arrow_schema

CHUNK: Final = 20_000
MOST_SERIES: Final = 40
_ROOT: Final = "1.2.826.0.1.3680043.10.1520"
_FIRST_DAY: Final = dt.date(2016, 1, 1)
_DAYS: Final = 3650
_FAMILY: Final = (  # noqa: SIM905  (names, as people read them)
    "SMITH JOHNSON WILLIAMS BROWN JONES GARCIA MILLER DAVIS MARTINEZ WILSON ANDERSON TAYLOR"
    " Müller Schmidt Schneider Fischer Weber Håkansson Nuñez Lefèvre O'Brien Kowalski Nowák"
    " Иванов Петрова Смирнов Παπαδόπουλος Γεωργίου Goldsmith Smithson Blacksmith Aerosmith"
    " Yamada=山田=やまだ Tanaka=田中=たなか Suzuki=鈴木=すずき Wang=王 Li=李 Zhang=张 Kim=金"
    " Hassan=حسن Cohen=כהן Somchai=สมชาย"
).split()
_GIVEN: Final = (  # noqa: SIM905  (names, as people read them)
    "JOHN MARY JAMES PATRICIA ROBERT LINDA Jürgen Søren Zoë Ольга Иван Ελένη Γιώργος Anna Max"
    " Tarou=太郎=たろう Hanako=花子=はなこ Wei=伟 Minjun=민준 Fatima=فاطمة David=דוד"
).split()
_MODALITIES: Final = ("CT", "MR", "CR", "DX", "US", "MG", "NM", "PT", "XA", "RF")
_SHARES: Final = (0.25, 0.2, 0.1, 0.15, 0.15, 0.06, 0.03, 0.02, 0.02, 0.02)
_PARTS: Final = ("CHEST", "HEAD", "ABDOMEN", "KNEE", "BREAST", "SPINE", "PELVIS", "")

Numbers = NDArray[np.int64]


def make(path: Path, studies: int, seed: int) -> None:
    """Make the index file, which must not be there yet; the same for the same seed."""
    random = np.random.default_rng(seed)
    names = _names()
    index = Index.open(path)
    try:
        for first in range(0, studies, CHUNK):
            numbers = np.arange(first, min(first + CHUNK, studies), dtype=np.int64)
            made = _chunk(numbers, studies, random, names)
            index.change(lambda cursor, made=made: _insert(cursor, made))  # type: ignore[misc]  # mypy cannot see through the default
    finally:
        index.close()


def _names() -> list[tuple[str, str | None]]:
    """Every family name with every given one and many second ones, with what they fold to."""
    found = []
    for family in _FAMILY:
        for given in _GIVEN:
            for middle in ("", "A", "B", "C", "D", "E", "F", "G"):
                groups = zip(family.split("="), given.split("="), strict=False)
                name = "=".join("^".join(pair) for pair in groups)
                name = name.replace("=", f"^{middle}=", 1) if middle else name
                found.append((name, folded_text(name)))
    return found


def _uids(kind: int, numbers: Numbers) -> list[str]:
    """UIDs like those of machines: a root, and digits without order."""
    mixed = (numbers.astype(np.uint64) + np.uint64(kind << 40)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    other = (mixed * np.uint64(0xBF58476D1CE4E5B9)) % np.uint64(10**9)
    pairs = zip(mixed.tolist(), other.tolist(), strict=True)
    return [f"{_ROOT}.{kind}.{one}.{two}" for one, two in pairs]


def _key(keyword: str, uids: list[str]) -> dict[str, list[Any]]:
    return {keyword: uids, hash_column(keyword): [hashed(uid) for uid in uids]}


def _chunk(
    numbers: Numbers,
    studies: int,
    random: np.random.Generator,
    names: list[tuple[str, str | None]],
) -> dict[str, Any]:
    count = len(numbers)
    weights = np.arange(1, MOST_SERIES + 1) ** -1.5
    series = random.choice(MOST_SERIES, size=count, p=weights / weights.sum()) + 1
    jitter = random.integers(-2, 3, size=count)
    days = np.clip(numbers * _DAYS // studies + jitter, 0, _DAYS)
    patients = random.integers(0, max(1, studies // 3), size=count)
    modality = random.choice(len(_MODALITIES), size=count, p=_SHARES)
    picked = [names[one] for one in (patients * 7919 % len(names)).tolist()]
    uids = _uids(1, numbers)
    dates = [_FIRST_DAY + dt.timedelta(days=int(day)) for day in days]
    images = series * random.integers(1, 200, size=count)
    patient = {
        "PatientID": [f"{one:08d}" for one in patients.tolist()],
        "IssuerOfPatientID": [""] * count,
        "PatientName": [name for name, _ in picked],
        "PatientName_folded": [folded for _, folded in picked],
        "PatientBirthDate": [
            dt.date(1930, 1, 1) + dt.timedelta(days=int(one) * 37 % 30_000) for one in patients
        ],
        "PatientSex": np.where(patients % 2 == 0, "F", "M").tolist(),
    }
    study = {
        **patient,
        **_key("StudyInstanceUID", uids),
        "StudyDate": dates,
        "StudyTime": [dt.time(one % 24, one % 60, one % 59) for one in numbers.tolist()],
        "AccessionNumber": [f"A{one:010d}" for one in numbers.tolist()],
        "StudyID": [str(one % 100_000) for one in numbers.tolist()],
        "StudyDescription": [f"{_MODALITIES[one]} {_PARTS[one % 8]}" for one in modality.tolist()],
        "ReferringPhysicianName": [f"DOCTOR{one % 500}^X" for one in patients.tolist()],
        "ReferringPhysicianName_folded": [f"doctor{one % 500}^x" for one in patients.tolist()],
        "ModalitiesInStudy": [_MODALITIES[one] for one in modality.tolist()],
        "NumberOfStudyRelatedSeries": series.tolist(),
        "NumberOfStudyRelatedInstances": images.tolist(),
    }
    return {"study": study, "patient": patient, **_below(numbers, series, modality, uids, dates)}


def _below(
    numbers: Numbers, series: Numbers, modality: Numbers, uids: list[str], dates: list[dt.date]
) -> dict[str, Mapping[str, list[Any]]]:
    """Make the rows of Series, and of one Instance in each."""
    owner = np.repeat(np.arange(len(numbers)), series)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(series) - series, series)
    keys = numbers[owner] * (MOST_SERIES + 1) + within
    series_uids, sops = _uids(2, keys), _uids(3, keys)
    study_uids = [uids[one] for one in owner.tolist()]
    modalities = [_MODALITIES[one] for one in modality[owner].tolist()]
    days = [dates[one] for one in owner.tolist()]
    count = len(owner)
    return {
        "series": {
            **_key("StudyInstanceUID", study_uids),
            **_key("SeriesInstanceUID", series_uids),
            "Modality": modalities,
            "SeriesNumber": (within + 1).tolist(),
            "SeriesDescription": [f"{one} {n % 12}" for n, one in enumerate(modalities)],
            "SeriesDate": days,
            "BodyPartExamined": [_PARTS[one % 8] for one in owner.tolist()],
            "StationName": [f"{one}{n % 3}" for n, one in enumerate(modalities)],
            "NumberOfSeriesRelatedInstances": [1] * count,
        },
        "instance": {
            **_key("StudyInstanceUID", study_uids),
            **_key("SeriesInstanceUID", series_uids),
            **_key("SOPInstanceUID", sops),
            "SOPClassUID": ["1.2.840.10008.5.1.4.1.1.2"] * count,
            "InstanceNumber": [1] * count,
            "ContentDate": days,
            "received_at": [dt.datetime.combine(one, dt.time(12)) for one in days],
            "calling_ae": modalities,
            "called_ae": ["PENUMBRA"] * count,
            "association": [f"{one:032x}" for one in numbers[owner].tolist()],
            "origin": ["dimse"] * count,
            "rule": [""] * count,
            "transfer_syntax_uid": ["1.2.840.10008.1.2.1"] * count,
            "digest": [f"{one * 0x9E3779B97F4A7C15:064x}" for one in keys.tolist()],
            "segment": ["synthetic"] * count,
            "segment_offset": [one * 500_000 for one in range(count)],
            "length_bytes": [500_000] * count,
        },
    }


def _insert(cursor: duckdb.DuckDBPyConnection, made: Mapping[str, Mapping[str, Any]]) -> None:
    for table, columns in made.items():
        names = [column.name for column in COLUMNS[table]]
        count = len(next(iter(columns.values())))
        arrays = {name: columns.get(name, [None] * count) for name in names}
        cursor.register("batch", arrow.table(arrays, schema=arrow_schema(table)))
        cursor.execute(
            f"INSERT INTO {table} BY NAME SELECT * FROM batch"
            + (" ON CONFLICT DO NOTHING" if table == "patient" else "")
        )
        cursor.unregister("batch")
