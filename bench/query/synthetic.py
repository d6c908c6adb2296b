"""An index of made-up studies, as large as wanted, written straight through Arrow.

Studies lie in the order of their dates, as they arrive. A study has 1 to 40 series and a series 1
to 60 objects; most have few, for many objects of one series cost less by the row. Names come in
several scripts. UIDs, digests and times are as hard to pack as real ones.
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
from storage.index.keys import HASHED, hash_column, in_sql
from storage.index.rows import folded_text
from storage.index.schema import COLUMNS, arrow_schema

CHUNK: Final = 20_000
MOST_SERIES: Final = 40
MOST_OBJECTS: Final = 60
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

_ALIKE: Final = """
    sha256(SOPInstanceUID) AS digest, '1.2.840.10008.5.1.4.1.1.2' AS SOPClassUID,
    received_at::DATE AS ContentDate, received_at::TIME AS ContentTime,
    received_at::DATE AS AcquisitionDate, received_at::TIME AS AcquisitionTime,
    1 AS AcquisitionNumber, 'ORIGINAL\\PRIMARY\\AXIAL' AS ImageType,
    512 AS "Rows", 512 AS "Columns", 16 AS BitsAllocated,
    'PENUMBRA' AS called_ae, '192.0.2.10' AS address, 'dimse' AS origin, '' AS rule,
    '1.2.840.10008.1.2.1' AS transfer_syntax_uid, 'synthetic' AS segment, 500000 AS length_bytes"""
"""What the rows of Instances hold besides, of which the database makes the most part sooner."""

Numbers = NDArray[np.int64]
Columns = dict[str, Any]


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


def _uids(kind: int, numbers: Numbers) -> Any:
    """UIDs like those of machines: a root, and digits without order."""
    mixed = (numbers.astype(np.uint64) + np.uint64(kind << 40)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    other = (mixed * np.uint64(0xBF58476D1CE4E5B9)) % np.uint64(10**9)
    pairs = zip(mixed.tolist(), other.tolist(), strict=True)
    return arrow.array([f"{_ROOT}.{kind}.{one}.{two}" for one, two in pairs])


def _skewed(random: np.random.Generator, most: int, count: int) -> Numbers:
    """Draw numbers from 1 to `most`, small ones far more often."""
    weights = np.arange(1, most + 1, dtype=float) ** -2
    return random.choice(most, size=count, p=weights / weights.sum()) + 1


def _spread(sizes: Numbers) -> tuple[Numbers, Numbers]:
    """Give each member of groups of these sizes its group's number, and its own in the group."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _chunk(
    numbers: Numbers,
    studies: int,
    random: np.random.Generator,
    names: list[tuple[str, str | None]],
) -> dict[str, Columns]:
    count = len(numbers)
    sizes = _skewed(random, MOST_SERIES, count)
    objects = _skewed(random, MOST_OBJECTS, int(sizes.sum()))
    days = np.clip(numbers * _DAYS // studies + random.integers(-2, 3, size=count), 0, _DAYS)
    patients = random.integers(0, max(1, studies // 3), size=count)
    modality = random.choice(len(_MODALITIES), size=count, p=_SHARES)
    patient = _patients(patients, names)
    study = {
        **patient,
        "StudyInstanceUID": _uids(1, numbers),
        "StudyDate": [_FIRST_DAY + dt.timedelta(days=int(day)) for day in days],
        "StudyTime": [dt.time(one % 24, one % 60, one % 59) for one in numbers.tolist()],
        "AccessionNumber": [f"A{one:010d}" for one in numbers.tolist()],
        "StudyID": [str(one % 100_000) for one in numbers.tolist()],
        "StudyDescription": [f"{_MODALITIES[one]} {_PARTS[one % 8]}" for one in modality.tolist()],
        "ReferringPhysicianName": [f"DOCTOR{one % 500}^X" for one in patients.tolist()],
        "ReferringPhysicianName_folded": [f"doctor{one % 500}^x" for one in patients.tolist()],
        "ModalitiesInStudy": [_MODALITIES[one] for one in modality.tolist()],
        "NumberOfStudyRelatedSeries": sizes,
        "NumberOfStudyRelatedInstances": np.add.reduceat(objects, np.cumsum(sizes) - sizes),
    }
    owner, within = _spread(sizes)
    keys = numbers[owner] * MOST_SERIES + within
    series = _series(study, owner, keys, [_MODALITIES[one] for one in modality[owner].tolist()])
    series["NumberOfSeriesRelatedInstances"] = objects
    instance = _instances(series, objects, keys, random)
    return {"patient": patient, "study": study, "series": series, "instance": instance}


def _patients(patients: Numbers, names: list[tuple[str, str | None]]) -> Columns:
    picked = [names[one] for one in (patients * 7919 % len(names)).tolist()]
    return {
        "PatientID": [f"{one:08d}" for one in patients.tolist()],
        "IssuerOfPatientID": [""] * len(patients),
        "PatientName": [name for name, _ in picked],
        "PatientName_folded": [folded for _, folded in picked],
        "PatientBirthDate": [
            dt.date(1930, 1, 1) + dt.timedelta(days=int(one) * 37 % 30_000) for one in patients
        ],
        "PatientSex": np.where(patients % 2 == 0, "F", "M").tolist(),
    }


def _series(study: Columns, owner: Numbers, keys: Numbers, modalities: list[str]) -> Columns:
    stations = [f"{one}{n % 3}" for n, one in enumerate(modalities)]
    return {
        "StudyInstanceUID": study["StudyInstanceUID"].take(arrow.array(owner)),
        "SeriesInstanceUID": _uids(2, keys),
        "Modality": modalities,
        "SeriesNumber": keys % MOST_SERIES + 1,
        "SeriesDescription": [f"{one} {n % 12}" for n, one in enumerate(modalities)],
        "SeriesDate": [study["StudyDate"][one] for one in owner.tolist()],
        "SeriesTime": [dt.time(one % 24, one % 60, one % 59) for one in keys.tolist()],
        "BodyPartExamined": [_PARTS[one % 8] for one in owner.tolist()],
        "ProtocolName": [f"{one} protocol {n % 40}" for n, one in enumerate(modalities)],
        "FrameOfReferenceUID": _uids(4, keys),
        "InstitutionName": ["Example Hospital"] * len(owner),
        "StationName": stations,
        "Manufacturer": [f"Maker of {one}" for one in modalities],
        "ManufacturerModelName": [f"Model of {one}" for one in stations],
    }


def _instances(
    series: Columns, objects: Numbers, keys: Numbers, random: np.random.Generator
) -> Columns:
    owner, within = _spread(objects)
    of_series = arrow.array(owner)
    days = np.array(series["SeriesDate"], dtype="datetime64[us]")[owner]
    since_us = np.sort(random.integers(0, 86_400_000_000, size=len(owner)))
    studies = (keys // MOST_SERIES)[owner]
    return {
        "StudyInstanceUID": series["StudyInstanceUID"].take(of_series),
        "SeriesInstanceUID": series["SeriesInstanceUID"].take(of_series),
        "SOPInstanceUID": _uids(3, keys[owner] * MOST_OBJECTS + within),
        "InstanceNumber": within + 1,
        "received_at": days + since_us.astype("timedelta64[us]"),
        "calling_ae": arrow.array(series["StationName"]).take(of_series),
        "association": [f"{one * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128:032x}"
                        for one in studies.tolist()],
        "segment_offset": np.arange(len(owner)) * 500_000,
    }  # fmt: skip


def _insert(cursor: duckdb.DuckDBPyConnection, made: Mapping[str, Columns]) -> None:
    for table, columns in made.items():
        schema = arrow_schema(table)
        fields = arrow.schema([schema.field(name) for name in columns])
        own = [column.name for column in COLUMNS[table]]
        more = [f"{in_sql(key)} AS {hash_column(key)}" for key in HASHED if hash_column(key) in own]
        more += [_ALIKE] if table == "instance" else []
        cursor.register("batch", arrow.table(columns, schema=fields))
        cursor.execute(
            f"INSERT INTO {table} BY NAME SELECT {', '.join(['*', *sorted(more)])} FROM batch"
            + (" ON CONFLICT DO NOTHING" if table == "patient" else "")
        )
        cursor.unregister("batch")
