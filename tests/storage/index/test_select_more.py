"""SQL against the plain rules where more is asked: sequences, empty values, what is negotiated."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom.attributes import CATALOGUE
from dicom.options import Options
from dicom.query import BadIdentifier, Root, matches, parse
from storage.index.database import Entry, Index

NAMES = ["Doe^John", "Müller^Jürgen", "MUELLER^Jens", "Schmidt-Stephen^A", "山田^太郎", "^^", "",
         "Wang^Xiao=王^小", "Roe\\Doe^Jane"]  # fmt: skip
DATES = ["20200101", "20200102", "20200103", "", "nonsense"]
TIMES = ["0000", "0930", "120000.5", "2359", ""]
ZONES = ["+0000", "+0200", "-0330", "", "CET"]
PROCEDURES = ["RP1", "RP2", "R'1", 'R"1', "Rü1", ""]


def items(chance: random.Random) -> str:
    """A RequestAttributesSequence as the index keeps it: some items, some without a value."""
    made = [
        {
            "00401001": {"vr": "SH", "Value": [chance.choice(PROCEDURES)]},
            "00400009": {"vr": "SH", "Value": [chance.choice(PROCEDURES)]},
            "00400008": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["X1"]}}]},
        }
        for _ in range(chance.randrange(3))
    ]
    return json.dumps({"vr": "SQ", "Value": made}, ensure_ascii=False) if made else ""


@pytest.fixture(scope="module")
def population(
    tmp_path_factory: pytest.TempPathFactory, entries: Callable[..., Entry]
) -> Iterator[tuple[Index, list[Mapping[str, str]]]]:
    """An index of Studies of one object each, and the same as plain facts."""
    chance = random.Random(29)
    batch, facts = [], []
    for number in range(200):
        values = {
            "StudyInstanceUID": f"2.{number}",
            "SeriesInstanceUID": f"3.{number}",
            "SOPInstanceUID": f"4.{number}",
            "PatientID": f"P{number}",
            "PatientName": chance.choice(NAMES),
            "StudyDate": chance.choice(DATES),
            "StudyTime": chance.choice(TIMES),
            "TimezoneOffsetFromUTC": chance.choice(ZONES),
            "SeriesNumber": chance.choice(["1", "2", ""]),
            "StudyDescription": chance.choice(["Head", "", "\\"]),
        }
        instance, texts = entries(number, **values)
        sequence = items(chance)
        texts = {**texts, "RequestAttributesSequence": sequence} if sequence else texts
        batch.append((instance, texts))
        facts.append({"RequestAttributesSequence": sequence, **values})
    index = Index.open(tmp_path_factory.mktemp("index") / "index.duckdb")
    index.add(batch, {})
    yield index, facts
    index.close()


RANGES = {
    "StudyDate": ["20200101-20200102", "20200102-", "-20200102", "20200102", '""'],
    "StudyTime": ["0930-1200", "10-", "-0930", "0930", '""', "2300-0100"],
    "TimezoneOffsetFromUTC": ["+0000", "+0530", "-0800"],
    "PatientName": [*NAMES, '""', "Doe", "john doe", "muller", "Mueller J", "St", "王", "Do*", "-"],
    "SeriesNumber": ["1", '""'],
    "StudyDescription": ["Head", '""', "*"],
}
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "RequestedProcedureID": st.sampled_from([*PROCEDURES, "R*", "?P?", '""', "*1"]),
        "ScheduledProcedureStepID": st.sampled_from([*PROCEDURES, "R*", "*"]),
        "ScheduledProtocolCodeSequence": st.sampled_from(["X1", "X2", "X*", ""]),
    },
)
KEYS = st.fixed_dictionaries(
    {}, optional={keyword: st.sampled_from(texts) for keyword, texts in RANGES.items()}
)
OPTIONS = st.builds(Options, st.just(True), st.booleans(), st.booleans(), st.booleans())


def identifier(keys: Mapping[str, str], item: Mapping[str, str] | None) -> Dataset:
    """An identifier of any values; with a sequence key where there is an item."""
    made = Dataset()
    made.add_new(0x00080005, "CS", "ISO_IR 192")
    made.add_new(0x00080052, "CS", "SERIES")
    for keyword, value in {**keys, "StudyInstanceUID": ""}.items():
        one = CATALOGUE[keyword]
        vr = "PN" if one.vr == "PN" else "LO"
        made[one.tag] = DataElement(one.tag, vr, value, validation_mode=IGNORE)
    if item is not None:
        inner: dict[str, Any] = dict(item)
        if (code := inner.pop("ScheduledProtocolCodeSequence", None)) is not None:
            step = Dataset()
            step.CodeValue = code
            inner["ScheduledProtocolCodeSequence"] = Sequence([step])
        made.RequestAttributesSequence = Sequence([Dataset()])
        for keyword, value in inner.items():
            setattr(made.RequestAttributesSequence[0], keyword, value)
    return made


@settings(max_examples=200, deadline=None)
@given(keys=KEYS, item=st.none() | ITEM, options=OPTIONS)
def test_sql_finds_what_the_rules_find(
    population: tuple[Index, list[Mapping[str, str]]],
    keys: dict[str, str],
    item: dict[str, str] | None,
    options: Options,
) -> None:
    """For any keys, items and options, SQL and the plain matcher find the same Series."""
    index, facts = population
    try:
        query = parse(identifier(keys, item), Root.STUDY, options)
    except BadIdentifier:
        return
    found = {one["StudyInstanceUID"] for one in index.find(query, 10_000)}
    assert found == {one["StudyInstanceUID"] for one in facts if matches(query, one)}


@given(offset=st.integers(0, 40), limit=st.integers(1, 40))
def test_pages_of_sequences_join_to_all(
    population: tuple[Index, list[Mapping[str, str]]], offset: int, limit: int
) -> None:
    """What is sifted is passed over and limited as what is not."""
    index, _ = population
    query = parse(
        identifier({}, {"RequestedProcedureID": "R*"}), Root.STUDY, Options(relational=True)
    )
    everything = list(index.find(query, 10_000, is_ordered=True))
    part = list(index.find(query, limit, offset=offset, is_ordered=True))
    assert part == everything[offset : offset + limit]
