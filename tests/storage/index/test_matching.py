"""PS3.4 C.2.2.2 as a table: each row asked of the plain rules, and of SQL over real bytes."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom import head
from dicom.attributes import CATALOGUE, SEQUENCES, UNIQUE_KEYS, Level
from dicom.entity import Arrival, Instance, Location
from dicom.head import Texts
from dicom.options import NONE, Options
from dicom.query import Query, Root, matches, parse
from storage.index.database import Index

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
NUMBERS = {"NumberOfStudyRelatedInstances", "NumberOfStudyRelatedSeries"}
COMBINED = Options(combined=True)
FUZZY = Options(fuzzy=True)
ZONED = Options(combined=True, zone=True)

Keys = Mapping[str, Any]
Row = tuple[str, Keys, Keys, bool]


def one(rule: str, keyword: str, key: Any, value: Any, *, expected: bool) -> Row:
    """One key and the value that an entity has."""
    return rule, {keyword: key}, {keyword: value}, expected


# The section with the rule in our words; the key; the entity's value; whether they match.
SINGLE = [
    # C.2.2.2.1 Single value: a key that is not empty, no range and has no wildcards.
    one("C.2.2.2.1", "AccessionNumber", "A17", "A17", expected=True),
    one("C.2.2.2.1", "AccessionNumber", "A17", "A170", expected=False),
    one("C.2.2.2.1 case counts but in PN", "AccessionNumber", "a17", "A17", expected=False),
    one("C.2.2.2.1 accents too", "StudyDescription", "Schadel", "Schädel", expected=False),
    one("C.2.2.2.1 padding does not", "AccessionNumber", "A17 ", "A17", expected=True),
    one("C.2.2.2.1 no value, no match", "AccessionNumber", "A17", "", expected=False),
    one("C.2.2.2.1 IS by number, as CP-2305 lets us", "SeriesNumber", "007", "7", expected=True),
    one("C.2.2.2.1 IS with a sign", "SeriesNumber", "+7", "7", expected=True),
    one("C.2.2.2.1 IS", "SeriesNumber", "7", "8", expected=False),
    one("C.2.2.2.1 US", "Rows", "512", "512", expected=True),
    one("C.2.2.2.1 US", "Rows", "512", "511", expected=False),
    one("C.2.2.2.1 AE, SH and the like", "StationName", "CT 1", "CT 1", expected=True),
    one("C.2.2.2.1 a hyphen in text is no range", "StudyID", "1-2", "1-2", expected=True),
    # C.2.2.2.1.1 Names: case and accents do not count, component groups stand by themselves.
    one("C.2.2.2.1 PN without case", "PatientName", "doe^JOHN", "Doe^John", expected=True),
    one("C.2.2.2.1 PN without accents", "PatientName", "Muller^J", "Müller^J", expected=True),
    one("C.2.2.2.1 PN the other way", "PatientName", "Müller", "MULLER", expected=True),
    one("C.2.2.2.1 PN empty components", "PatientName", "Doe^John^^^", "Doe^John", expected=True),
    one("C.2.2.2.1 PN component by component", "PatientName", "Doe", "Doe^John", expected=False),
    one("C.2.2.2.1 PN any group", "PatientName", "山田^太郎", "Yamada^T=山田^太郎", expected=True),
    one("C.2.2.2.1 PN ideographic group", "PatientName", "=山田", "Yamada=山田", expected=True),
    one("C.2.2.2.1 PN all groups", "PatientName", "Suzuki=山田", "Yamada=山田", expected=False),
    one("C.2.2.2.1 PN voicing is no accent", "PatientName", "かき", "がき", expected=False),
    one("C.2.2.2.1 PN several values", "OperatorsName", "roe", "Doe\\Roe", expected=True),
]
LISTS = [
    # C.2.2.2.2 List of UID: any of them matches.
    one("C.2.2.2.2", "SOPClassUID", "1.2\\1.3", "1.3", expected=True),
    one("C.2.2.2.2", "SOPClassUID", "1.2\\1.3", "1.4", expected=False),
    one("C.2.2.2.2 one", "FrameOfReferenceUID", "1.2", "1.2", expected=True),
    one("C.2.2.2.2 no wildcards in UI", "FrameOfReferenceUID", "1.*", "1.2", expected=False),
    # C.2.2.2.3 Universal: an empty key matches all.
    one("C.2.2.2.3", "AccessionNumber", "", "A17", expected=True),
    one("C.2.2.2.3 also what has no value", "AccessionNumber", "", "", expected=True),
    one("C.2.2.2.3 in dates", "StudyDate", "", "20240131", expected=True),
    one("C.2.2.2.3 in sequences", "ProcedureCodeSequence", [], "", expected=True),
]
WILDCARDS = [
    # C.2.2.2.4 Wildcard: * stands for any sequence of characters, ? for any one.
    one("C.2.2.2.4", "AccessionNumber", "A*", "A17", expected=True),
    one("C.2.2.2.4 * may be empty", "AccessionNumber", "A17*", "A17", expected=True),
    one("C.2.2.2.4 ? is exactly one", "AccessionNumber", "A1?", "A17", expected=True),
    one("C.2.2.2.4 ? is exactly one", "AccessionNumber", "A17?", "A17", expected=False),
    one("C.2.2.2.4 anywhere", "AccessionNumber", "*1*", "A17", expected=True),
    one("C.2.2.2.4 both", "AccessionNumber", "?1*", "A17", expected=True),
    one("C.2.2.2.4 case counts but in PN", "AccessionNumber", "a*", "A17", expected=False),
    one("C.2.2.2.4 * alone is universal", "AccessionNumber", "*", "", expected=True),
    one("C.2.2.2.4 ** is the same", "AccessionNumber", "**", "", expected=True),
    one("C.2.2.2.4 no value, no match", "AccessionNumber", "?*", "", expected=False),
    one("C.2.2.2.4 % and _ are text", "StudyDescription", "100%_*", "100%_x", expected=True),
    one("C.2.2.2.4 % and _ are text", "StudyDescription", "100%*", "100 x", expected=False),
    one("C.2.2.2.4 brackets are text", "StudyDescription", "[a-z]*", "b", expected=False),
    one("C.2.2.2.4 many stars", "StudyDescription", "*a*a*a*a*a*b", "a" * 60, expected=False),
    one(
        "C.2.2.2.4 PN without case and accents", "PatientName", "mUl*^j*", "Müller^J", expected=True
    ),
    one("C.2.2.2.4 PN any group", "PatientName", "山*", "Yamada^T=山田^太郎", expected=True),
    one("C.2.2.2.4 PN within a component", "PatientName", "Do*", "Smith^Doe", expected=False),
    one("C.2.2.2.4 PN across components", "PatientName", "*doe", "Smith^Doe", expected=True),
    one("C.2.2.2.4 PN a component", "PatientName", "*^john", "Doe^John", expected=True),
    one("C.2.2.2.4 a character, not a byte", "PatientName", "山?", "山田", expected=True),
    one("C.2.2.2.4 not in dates", "StudyID", "1?3", "123", expected=True),
]
RANGES = [
    # C.2.2.2.5.1 Dates: both ends belong to a range; an open end has none.
    one("C.2.2.2.5.1", "StudyDate", "20040101-20040131", "20040131", expected=True),
    one("C.2.2.2.5.1", "StudyDate", "20040101-20040131", "20040101", expected=True),
    one("C.2.2.2.5.1", "StudyDate", "20040101-20040131", "20040201", expected=False),
    one("C.2.2.2.5.1 open start", "StudyDate", "-20040131", "19990101", expected=True),
    one("C.2.2.2.5.1 open start", "StudyDate", "-20040131", "20040201", expected=False),
    one("C.2.2.2.5.1 open end", "StudyDate", "20040131-", "20240101", expected=True),
    one("C.2.2.2.5.1 open end", "StudyDate", "20040131-", "20040130", expected=False),
    one("C.2.2.2.5.1 single date", "StudyDate", "20040131", "20040131", expected=True),
    one("C.2.2.2.5.1 the old form too", "StudyDate", "20040131", "2004.01.31", expected=True),
    one("C.2.2.2.5.1 no value, no match", "StudyDate", "19000101-", "", expected=False),
    one("C.2.2.2.5.1 nonsense never matches", "StudyDate", "19000101-", "soon", expected=False),
    # C.2.2.2.5.2 Times: an end that is not exact reaches as far as it may.
    one("C.2.2.2.5.2", "StudyTime", "0900-1000", "095959", expected=True),
    one("C.2.2.2.5.2 to its precision", "StudyTime", "0900-1000", "100059.5", expected=True),
    one("C.2.2.2.5.2", "StudyTime", "0900-1000", "1001", expected=False),
    one("C.2.2.2.5.2 open end", "StudyTime", "12-", "115959", expected=False),
    one("C.2.2.2.5.2 open start", "StudyTime", "-12", "125959", expected=True),
    one("C.2.2.2.5.2 single time", "StudyTime", "093015", "093015.25", expected=True),
    one("C.2.2.2.5.2 single hour", "StudyTime", "09", "095959", expected=True),
    # C.2.2.2.5.3 Date and time in one.
    one("C.2.2.2.5.3", "AcquisitionDateTime", "2004-2005", "20051231235959", expected=True),
    one("C.2.2.2.5.3", "AcquisitionDateTime", "2004-2005", "20060101", expected=False),
    one("C.2.2.2.5.3 open", "AcquisitionDateTime", "-2004", "2005", expected=False),
    one("C.2.2.2.5.3 an offset is no range", "AcquisitionDateTime", "20040101-0500",
        "20040101120000", expected=True),
    one("C.2.2.2.5.3 offsets in a range", "AcquisitionDateTime", "20040101-0500-20040201-0500",
        "20040115", expected=True),
]  # fmt: skip
SEVERAL = [
    # C.2.2.3 An attribute with several values matches where any of them does.
    one("C.2.2.3", "ImageType", "PRIMARY", "ORIGINAL\\PRIMARY\\AXIAL", expected=True),
    one("C.2.2.3", "ImageType", "SECONDARY", "ORIGINAL\\PRIMARY\\AXIAL", expected=False),
    one("C.2.2.3 wildcard", "ImageType", "PRI*", "ORIGINAL\\PRIMARY", expected=True),
    one("C.2.2.3 no wildcard spans values", "ImageType", "ORI*ARY", "ORIGINAL\\PRIMARY",
        expected=False),
    one("C.2.2.2.8 several values in a key: any", "Modality", "MR\\CT", "CT", expected=True),
    one("C.2.2.2.8 with wildcards", "Modality", "MR\\U*", "CT", expected=False),
    one("C.6.2.1.2 a Study by a Series", "Modality", "CT", "CT", expected=True),
]  # fmt: skip
EMPTY = [
    # C.2.2.2.7 Empty value: two quotation marks ask for what has no value.
    one("C.2.2.2.7", "AccessionNumber", '""', "", expected=True),
    one("C.2.2.2.7", "AccessionNumber", '""', "A17", expected=False),
    one("C.2.2.2.7 a date", "StudyDate", '""', "", expected=True),
    one("C.2.2.2.7 a date", "StudyDate", '""', "20240131", expected=False),
    one("C.2.2.2.7 a number", "SeriesNumber", '""', "", expected=True),
    one("C.2.2.2.7 a number", "SeriesNumber", '""', "1", expected=False),
    one("C.2.2.2.7 a name", "PatientName", '""', "", expected=True),
    one("C.2.2.2.7 a name of delimiters", "PatientName", '""', "^^", expected=True),
    one("C.2.2.2.7 a name", "PatientName", '""', "Doe", expected=False),
    one("C.2.2.2.7 several values", "ImageType", '""', "", expected=True),
    one("C.2.2.2.7 several values", "ImageType", '""', "ORIGINAL\\PRIMARY", expected=False),
]


def item(**keys: Any) -> Dataset:
    """An item of a sequence."""
    return dataset_of(keys)


def dataset_of(keys: Keys) -> Dataset:
    """Put any values into a dataset, right or wrong for their representation."""
    made = Dataset()
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        vr = dictionary_VR(tag)
        if vr == "SQ":
            made[tag] = DataElement(tag, vr, Sequence(value or []))
        elif vr == "US" and str(value).isdigit():
            made[tag] = DataElement(tag, vr, int(value))
        else:
            made[tag] = DataElement(
                tag, "PN" if vr == "PN" else "LO", value, validation_mode=IGNORE
            )
    return made


HEAD = item(CodeValue="HEAD", CodingSchemeDesignator="99X")
REQUEST = item(RequestedProcedureID="RP1", ScheduledProcedureStepID="S1",
               ScheduledProtocolCodeSequence=[HEAD])  # fmt: skip
OTHER = item(RequestedProcedureID="RP2", ScheduledProcedureStepID="S2",
             ScheduledProcedureStepDescription="Schädel")  # fmt: skip
NESTED = [
    # C.2.2.2.6 Sequence: one item of the entity's must meet every key of the asked one.
    one("C.2.2.2.6", "RequestAttributesSequence", [item(RequestedProcedureID="RP1")],
        [REQUEST, OTHER], expected=True),
    one("C.2.2.2.6 any item", "RequestAttributesSequence", [item(RequestedProcedureID="RP2")],
        [REQUEST, OTHER], expected=True),
    one("C.2.2.2.6", "RequestAttributesSequence", [item(RequestedProcedureID="RP3")],
        [REQUEST, OTHER], expected=False),
    one("C.2.2.2.6 all keys in one item", "RequestAttributesSequence",
        [item(RequestedProcedureID="RP1", ScheduledProcedureStepID="S2")],
        [REQUEST, OTHER], expected=False),
    one("C.2.2.2.6 wildcards within", "RequestAttributesSequence",
        [item(RequestedProcedureID="R?1", ScheduledProcedureStepID="*1")],
        [REQUEST, OTHER], expected=True),
    one("C.2.2.2.6 universal within", "RequestAttributesSequence",
        [item(RequestedProcedureID="")], [REQUEST], expected=True),
    one("C.2.2.2.6 no item, no match", "RequestAttributesSequence",
        [item(RequestedProcedureID="RP1")], [], expected=False),
    one("C.2.2.2.6 a sequence within", "RequestAttributesSequence",
        [item(ScheduledProtocolCodeSequence=[item(CodeValue="HEAD")])], [REQUEST], expected=True),
    one("C.2.2.2.6 a sequence within", "RequestAttributesSequence",
        [item(ScheduledProtocolCodeSequence=[item(CodeValue="FOOT")])], [REQUEST], expected=False),
    one("C.2.2.2.6 beyond ASCII", "RequestAttributesSequence",
        [item(ScheduledProcedureStepDescription="Schä*")], [OTHER], expected=True),
    one("C.2.2.2.6 codes", "ProcedureCodeSequence", [item(CodeValue="X1")],
        [item(CodeValue="X1", CodingSchemeDesignator="L", CodeMeaning="x")], expected=True),
    one("C.2.2.2.6 of a Patient", "OtherPatientIDsSequence", [item(PatientID="B2")],
        [item(PatientID="A1"), item(PatientID="B2")], expected=True),
]  # fmt: skip

MOMENTS = {"StudyDate": "20060705-20060707", "StudyTime": "1000-1800"}
BASELINE = [*SINGLE, *LISTS, *WILDCARDS, *RANGES, *SEVERAL, *EMPTY, *NESTED]


def at(rule: str, date: str, time: str, *, expected: bool) -> Row:
    """A Study of this date and time, and the ranges of C.2.2.2.5.4's own example."""
    return rule, MOMENTS, {"StudyDate": date, "StudyTime": time}, expected


NEGOTIATED = [
    # Without negotiation date and time are two keys, each by itself.
    (NONE, at("C.2.2.2.5", "20060706", "1200", expected=True)),
    (NONE, at("C.2.2.2.5 each by itself", "20060706", "0900", expected=False)),
    # C.2.2.2.5.4 Combined: from the fifth at ten to the seventh at six, and all that is between.
    (COMBINED, at("C.2.2.2.5.4", "20060706", "0900", expected=True)),
    (COMBINED, at("C.2.2.2.5.4 first day", "20060705", "0959", expected=False)),
    (COMBINED, at("C.2.2.2.5.4 first day", "20060705", "1000", expected=True)),
    (COMBINED, at("C.2.2.2.5.4 last day", "20060707", "180059", expected=True)),
    (COMBINED, at("C.2.2.2.5.4 last day", "20060707", "1801", expected=False)),
    (COMBINED, at("C.2.2.2.5.4 a day without time may fit", "20060705", "", expected=True)),
    (COMBINED, at("C.2.2.2.5.4 no date, no match", "", "1200", expected=False)),
    # Timezone adjustment: the requester's zone against the object's own.
    (ZONED, ("C.2.2.2.5.4 zones", {**MOMENTS, "TimezoneOffsetFromUTC": "+0000"},
             {"StudyDate": "20060705", "StudyTime": "1030", "TimezoneOffsetFromUTC": "+0200"},
             False)),
    (ZONED, ("C.2.2.2.5.4 zones", {**MOMENTS, "TimezoneOffsetFromUTC": "+0000"},
             {"StudyDate": "20060705", "StudyTime": "0930", "TimezoneOffsetFromUTC": "-0130"},
             True)),
    (ZONED, ("C.2.2.2.5.4 a zone that nobody knows", {**MOMENTS, "TimezoneOffsetFromUTC": "+0000"},
             {"StudyDate": "20060705", "StudyTime": "1030"}, True)),
    (COMBINED, ("C.5.1.1.1 zones only where negotiated",
                {**MOMENTS, "TimezoneOffsetFromUTC": "+0000"},
                {"StudyDate": "20060705", "StudyTime": "1030", "TimezoneOffsetFromUTC": "+0200"},
                True)),
    # C.2.2.2.1.1 Fuzzy semantic matching: words of a name, in any order, spelt alike.
    (FUZZY, one("C.2.2.2.1.1 order", "PatientName", "John Doe", "Doe^John", expected=True)),
    (FUZZY, one("C.2.2.2.1.1 a beginning", "PatientName", "jo do", "Doe^John", expected=True)),
    (FUZZY, one("C.2.2.2.1.1 every word", "PatientName", "Jane Doe", "Doe^John", expected=False)),
    (FUZZY, one("C.2.2.2.1.1 spelling", "PatientName", "Mueller", "Müller^J", expected=True)),
    (FUZZY, one("C.2.2.2.1.1 spelling", "PatientName", "Shmit", "Schmidt", expected=False)),
    (FUZZY, one("C.2.2.2.1.1 spelling", "PatientName", "Stephen", "Steffen^A", expected=True)),
    (FUZZY, one("C.2.2.2.1.1 not within a word", "PatientName", "oe", "Doe^John", expected=False)),
    (FUZZY, one("C.2.2.2.1.1 hyphens", "PatientName", "Lüdenscheid", "Leutheusser-Ludenscheid",
                expected=True)),
    (FUZZY, one("C.2.2.2.1.1 wildcards go first", "PatientName", "Doe*", "John^Doe",
                expected=False)),
    (NONE, one("C.2.2.2.1.1 only where negotiated", "PatientName", "John Doe", "Doe^John",
               expected=False)),
]  # fmt: skip

ROWS = [(NONE, row) for row in BASELINE] + NEGOTIATED


@dataclass(frozen=True)
class Stored:
    """One entity, as the index has it and as plain texts."""

    uids: Mapping[str, str]
    texts: Texts


def encoded(dataset: Dataset) -> bytes:
    """The dataset as a peer sends it."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    buffer = io.BytesIO()
    dataset.save_as(buffer, implicit_vr=True, little_endian=True)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Index, list[Stored]]]:
    """An index with one object for each row of the tables."""
    index = Index.open(tmp_path_factory.mktemp("index") / "index.duckdb")
    entities, entries = [], []
    for number, (_, (_, _, value, _)) in enumerate(ROWS):
        uids = {
            "PatientID": f"P{number}",
            "StudyInstanceUID": f"1.{number}",
            "SeriesInstanceUID": f"1.{number}.1",
            "SOPInstanceUID": f"1.{number}.1.1",
        }
        dataset = encoded(dataset_of({**uids, **{k: v for k, v in value.items() if v}}))
        texts = head.read(memoryview(dataset), IMPLICIT, io.BytesIO)
        sop_class = texts.get("SOPClassUID", CT)
        arrival = Arrival(sop_class, uids["SOPInstanceUID"], IMPLICIT, "A", "B", "c", "d", 1.0)
        entries.append((Instance(arrival, Location("s", number, 1), f"{number:064x}"), texts))
        entities.append(Stored(uids, texts))
    index.add(entries, {})
    yield index, entities
    index.close()


def query_of(keys: Keys, uids: Mapping[str, str], options: Options) -> Query:
    """Ask as a peer does, for one entity of the level that the keys belong to."""
    known = {**CATALOGUE, **SEQUENCES}
    level = max((known[keyword].level for keyword in keys), key=lambda each: each.depth)
    level = max(level, Level.STUDY, key=lambda each: each.depth)
    unique = {UNIQUE_KEYS[one]: uids[UNIQUE_KEYS[one]] for one in Level if level.holds(one)}
    del unique["PatientID"]
    identifier = dataset_of({"QueryRetrieveLevel": str(level), **unique, **keys})
    sent = dcmread(io.BytesIO(encoded(identifier)), force=True)
    return parse(sent, Root.STUDY, options)


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda number: ROWS[number][1][0])
def test_the_rules_and_sql_decide_as_the_standard(
    stored: tuple[Index, list[Stored]], number: int
) -> None:
    """Each kind of matching of PS3.4 C.2.2.2 decides as its section says, by rule and by SQL."""
    options, (rule, keys, _, expected) = ROWS[number]
    index, entities = stored
    entity = entities[number]
    query = query_of(keys, entity.uids, options)
    assert matches(query, entity.texts) is expected, rule
    found = [one["StudyInstanceUID"] for one in index.find(query, 10)]
    assert found == ([entity.uids["StudyInstanceUID"]] if expected else []), rule
