"""SQL gives the answer that the plain rules of matching give, whatever is asked."""

import random
import re
from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom.attributes import CATALOGUE, DERIVED, Level, of_level
from dicom.query import BadIdentifier, Query, Root, matches, parse
from storage.index.database import Entry, Index
from storage.index.schema import COLUMNS
from storage.index.select import select

Entities = list[Mapping[str, str]]
LETTERS = "aAäÄbß%_!'\"[]()^$.+|{}山がя"
NAMES = LETTERS + "^=="
CODES = ["CT", "MR", "SR", "C", "CTR", "C%", "R"]
INJECTIONS = [
    "'; DROP TABLE study; --",
    "' OR '1'='1",
    '" OR ""="',
    "$1",
    "%",
    "_",
    "x' UNION SELECT PatientName FROM patient --",
    "!%",
]


USUAL = {
    "TM": ["09", "0930", "093015", "093015.5", "235959.999999", "12"],
    "DT": ["2020", "20200131", "20200131093000.25", "20210101120000+0100"],
    "DA": [f"20{year}0{month}{day}" for year in (20, 22) for month in (1, 3) for day in (10, 30)],
    "IS": ["0", "1", "2", "3"],
    "US": ["0", "1", "2", "3"],
    "UI": [f"1.{number}" for number in range(5)],
    "CS": CODES,
}


def a_value(chance: random.Random, vr: str) -> str:
    """A value for a representation: usual, unusual or missing."""
    if chance.random() < 0.15:
        return ""
    if vr in USUAL:
        return chance.choice(USUAL[vr])
    letters = NAMES if vr == "PN" else LETTERS
    return "".join(chance.choice(letters) for _ in range(chance.randrange(1, 6)))


def an_entity(chance: random.Random, number: int) -> dict[str, str]:
    """The values of one object, each Study and Series its own."""
    values = {}
    for level in Level:
        for one in of_level(level):
            if one.keyword in DERIVED:
                continue
            several = one.many and chance.random() < 0.4
            value = a_value(chance, one.vr)
            values[one.keyword] = f"{value}\\{a_value(chance, one.vr)}" if several else value
    uids = {"StudyInstanceUID": f"2.{number}", "SeriesInstanceUID": f"3.{number}"}
    values |= uids | {"SOPInstanceUID": f"4.{number}", "SOPClassUID": f"5.{number % 3}"}
    return values | {"PatientID": values["PatientID"] or f"P{number}"}


@pytest.fixture(scope="module")
def population(
    tmp_path_factory: pytest.TempPathFactory, entries: Callable[..., Entry]
) -> Iterator[tuple[Index, Entities]]:
    """An index of many odd Studies of one object each, and the same as plain facts."""
    chance = random.Random(17)
    objects = [an_entity(chance, number) for number in range(150)]
    for number, words in enumerate(INJECTIONS, 200):
        odd = dict.fromkeys(["PatientName", "PatientID", "StudyDescription"], words)
        objects.append(an_entity(chance, number) | odd)
    objects[0]["AdmittingDiagnosesDescription"] = "one\\two"
    index = Index.open(tmp_path_factory.mktemp("index") / "index.duckdb")
    index.add([entries(number, **values) for number, values in enumerate(objects)], {})
    counts = dict.fromkeys(["NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
                            "NumberOfSeriesRelatedInstances"], "1")  # fmt: skip
    yield (
        index,
        [
            {
                **one,
                **counts,
                "ModalitiesInStudy": one["Modality"],
                "SOPClassesInStudy": one["SOPClassUID"],
            }
            for one in objects
        ],
    )
    index.close()


def identifier(level: Level, keys: Mapping[str, str]) -> Dataset:
    dataset = Dataset()
    dataset.add_new(0x00080052, "CS", str(level))
    for keyword, value in keys.items():
        one = CATALOGUE[keyword]
        vr = "PN" if one.vr == "PN" else "LO"
        dataset[one.tag] = DataElement(one.tag, vr, value, validation_mode=0)
    return dataset


def ranges(moments: list[str]) -> st.SearchStrategy[str]:
    """Single moments, open ranges and closed ones."""
    one = st.sampled_from(moments)
    forms = [one, one.map("-{}".format), one.map("{}-".format), st.builds("{}-{}".format, one, one)]
    return st.one_of(forms)


def lists(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """No value up to three."""
    return st.lists(values, max_size=3).map("\\".join)


NUMBERS = st.integers(-1, 5).map(str)
ASKED = {
    "DA": ranges([*USUAL["DA"], "20210630"]),
    "TM": ranges(["09", "0930", "093015", "093015.5", "1200", "23"]),
    "DT": ranges(["2020", "202001", "20200131093000.2", "2021+0100"]),
    "IS": NUMBERS,
    "US": NUMBERS,
    "UI": lists(st.integers(0, 6).map("1.{}".format)),
    "CS": lists(st.sampled_from(CODES) | st.text("CTR?*", min_size=1, max_size=4)),
}


def texts(vr: str) -> st.SearchStrategy[str]:
    """What may stand in a key of a representation, near to what the entities hold."""
    words = st.text(NAMES + "*?**??\\", max_size=6) | st.sampled_from(INJECTIONS)
    return ASKED.get(vr, words)


KEYED = [
    keyword
    for keyword in CATALOGUE
    if not keyword.startswith("NumberOfPatient")
    and keyword not in {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}
]
KEYS = st.lists(st.sampled_from(KEYED), max_size=4, unique=True).flatmap(
    lambda keywords: st.fixed_dictionaries({one: texts(CATALOGUE[one].vr) for one in keywords})
)


@settings(max_examples=300, deadline=None)
@given(keys=KEYS)
@example(keys={"PatientName": "*a*a*a*a*a*"})
@example(keys={"StudyDescription": "*%*_*!*?*"})
@example(keys={"ModalitiesInStudy": "C*R\\S?"})
@example(keys={"AdmittingDiagnosesDescription": "o*o"})
@example(keys={"OperatorsName": "a*\\=*"})
@example(keys={"PatientName": "*=山*"})
def test_sql_finds_what_the_rules_find(
    population: tuple[Index, Entities], keys: dict[str, str]
) -> None:
    """For any keys of any level, SQL and the plain matcher find the same Studies."""
    index, entities = population
    asked = {**keys, "StudyInstanceUID": ""}
    try:
        query = parse(identifier(Level.STUDY, asked), Root.STUDY)
    except BadIdentifier:
        return
    found = {one["StudyInstanceUID"] for one in index.find(query, 10_000)}
    assert found == {one["StudyInstanceUID"] for one in entities if matches(query, one)}


@settings(max_examples=150, deadline=None)
@given(keys=KEYS, number=st.integers(0, 149), level=st.sampled_from([Level.SERIES, Level.IMAGE]))
def test_sql_finds_what_the_rules_find_below_a_study(
    population: tuple[Index, Entities], keys: dict[str, str], number: int, level: Level
) -> None:
    """So it is for Series and Instances, with keys of their own level and of those above."""
    index, entities = population
    upper = {"StudyInstanceUID": f"2.{number}"}
    if level is Level.IMAGE:
        upper["SeriesInstanceUID"] = f"3.{number}"
    try:
        query = parse(identifier(level, {**keys, **upper}), Root.STUDY)
    except BadIdentifier:
        return
    found = [one["StudyInstanceUID"] for one in index.find(query, 10_000)]
    assert found == [one["StudyInstanceUID"] for one in entities if matches(query, one)]


@settings(max_examples=100, deadline=None)
@given(name=texts("PN"), patient_id=texts("LO"))
def test_sql_finds_the_patients_that_the_rules_find(
    population: tuple[Index, Entities], name: str, patient_id: str
) -> None:
    """So it is for Patients, each with the attributes of the first Study."""
    index, entities = population
    keys = {"PatientName": name, "PatientID": patient_id, "IssuerOfPatientID": ""}
    query = parse(identifier(Level.PATIENT, keys), Root.PATIENT)
    patients: dict[tuple[str, str], Mapping[str, str]] = {}
    for one in entities:
        patients.setdefault((one["PatientID"], one["IssuerOfPatientID"]), one)
    expected = {key for key, one in patients.items() if matches(query, one)}
    answers = index.find(query, 10_000)
    assert {(one["PatientID"], one["IssuerOfPatientID"]) for one in answers} == expected


def test_every_supported_key_can_be_returned(population: tuple[Index, Entities]) -> None:
    """Each attribute of the catalogue comes back as it was stored, in canonical form."""
    index, entities = population
    wanted = entities[3]
    query = parse(
        identifier(
            Level.IMAGE,
            {**dict.fromkeys(CATALOGUE, ""), "StudyInstanceUID": "2.3", "SeriesInstanceUID": "3.3"},
        ),
        Root.STUDY,
    )
    (found,) = index.find(query, 10)
    assert found.keys() == CATALOGUE.keys()
    plain = {one for one, its in CATALOGUE.items() if its.vr not in {"TM", "DT"}} & wanted.keys()
    plain -= {"NumberOfPatientRelatedSeries", "NumberOfPatientRelatedInstances"}
    assert {one: found[one] for one in plain} == {one: wanted[one].strip() for one in plain}


@pytest.mark.parametrize("words", INJECTIONS)
def test_sql_in_a_key_is_only_text(population: tuple[Index, Entities], words: str) -> None:
    """Text that looks like SQL finds the one who is called so, and changes nothing."""
    index, entities = population
    before = index.sql("SELECT count(*) FROM study", timeout_s=5, max_rows=1)
    query = parse(identifier(Level.STUDY, {"PatientID": words}), Root.STUDY)
    found = [one["PatientID"] for one in index.find(query, 100)]
    assert found == [one["PatientID"] for one in entities if one["PatientID"] == words]
    assert index.sql("SELECT count(*) FROM study", timeout_s=5, max_rows=1) == before


@given(keys=KEYS, level=st.sampled_from(Level))
def test_no_word_of_a_requester_is_in_the_statement(keys: dict[str, str], level: Level) -> None:
    """Every value travels as a parameter; the statement has catalogue words only."""
    try:
        parsed = parse(identifier(Level.IMAGE, keys | {
            "StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3"}), Root.STUDY)  # fmt: skip
    except BadIdentifier:
        return
    statement, parameters = select(Query(Root.STUDY, Level.IMAGE, parsed.matching, ()), 5)
    placeholders = {int(one) for one in re.findall(r"\$(\d+)", statement)}
    assert placeholders == set(range(1, len(parameters) + 1))
    assert not re.search(r"[äßя山が\"{}]", statement)


def test_a_long_list_of_uids_is_answered(population: tuple[Index, Entities]) -> None:
    """A list of 100,000 UIDs finds those that exist, in one statement."""
    index, _ = population
    uids = "\\".join([f"2.{number}" for number in range(50)] + [f"9.{n}" for n in range(100_000)])
    query = parse(identifier(Level.STUDY, {"StudyInstanceUID": uids}), Root.STUDY)
    assert len(list(index.find(query, 1000))) == 50


def test_columns_are_named_after_keywords() -> None:
    """Every attribute has a column of its keyword's name, and no table has a name twice."""
    assert {"PatientID", "StudyDate", "ModalitiesInStudy"} <= {c.name for c in COLUMNS["study"]}
    for columns in COLUMNS.values():
        names = [column.name for column in columns]
        assert len(names) == len(set(names))
