"""Saved reports: what their first lines say, and the answers of those that come along."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dicom.errors import CannotUnderstand, DoesNotMatch
from storage.index import question_process
from storage.index.account import AccountTables, Batch
from storage.index.database import Entry, Index
from storage.index.heads import HeadRow
from storage.index.offered import Role
from storage.index.questions import Limits, Question, Questions
from storage.index.saved import SHIPPED, Report, Reports, read

NOW = 1.7e9
"""2023-11-14 22:13:20, when the conftest's objects arrive."""
DX, CT, SR, KO = (
    f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("1.1", "2", "88.67", "88.59")
)  # fmt: skip
GOOD = "-- title: T\n-- words: W\n-- role: sql\n-- param: days int 7 So many.\nSELECT $days\n"


def value(vr: str, *values: object) -> dict[str, object]:
    return {"vr": vr, "Value": list(values)}


def coded(tag: str, code: str, meaning: str) -> dict[str, object]:
    return {tag: value("SQ", {"00080100": value("SH", code), "00080104": value("LO", meaning)})}


def number(code: str, meaning: str, measured: float, unit: str) -> dict[str, object]:
    """A content item NUM (PS3.3 C.17.3)."""
    told = {"0040A30A": value("DS", measured), **coded("004008EA", unit, unit)}
    return {
        "0040A040": value("CS", "NUM"), **coded("0040A043", code, meaning),
        "0040A300": value("SQ", told),
    }  # fmt: skip


DOSE_REPORT = {
    "0040A730": value(
        "SQ",
        number("113813", "CT Dose Length Product Total", 410.5, "mGy.cm"),
        {
            "0040A040": value("CS", "CONTAINER"),
            "0040A730": value("SQ", number("113830", "Mean CTDIvol", 11.5, "mGy")),
        },
    )
}
REJECTION = {
    **coded("0040A043", "113001", "Rejected for Quality Reasons"),
    "0040A375": value(
        "SQ",
        {"00081115": value("SQ", {"00081199": value("SQ", {"00081155": value("UI", "1.42")})})},
    ),
}


def revision(number: int, series: str, settled_at: float, missing: int = 0) -> dict[str, Any]:
    return {
        "id": number, "study_instance_uid": "1.2", "series_instance_uid": series, "revision": 1,
        "reason": "quiet", "words": "", "expected": None, "missing": missing, "instances": 1,
        "jobs": 1, "settled_at": settled_at, "node": "", "first_received_at": NOW,
        "last_received_at": NOW + 1, "filed_at": NOW + 3,
    }  # fmt: skip


def job(number: int, kind: str, state: str, fault: str = "", **times: Any) -> dict[str, Any]:
    return {
        "id": number, "kind": kind, "study_instance_uid": "1.2", "series_instance_uid": "1.3",
        "revision": 1, "rule": "all", "target": "pacs" if kind == "forward" else "lung",
        "profile": "", "state": state, "attempts": 2, "losses": 0, "priority": 0, "fault": fault,
        "words": "", "created_at": NOW + 10, "begun_at": NOW + 14, "updated_at": NOW + 20,
        "node": "", **times,
    }  # fmt: skip


def receipt(number: int, at: float) -> dict[str, Any]:
    return {
        "id": number, "job": 1, "destination": "pacs", "rule": "all", "profile": "",
        "source_uid": f"1.{number}", "source_digest": "d", "sop_instance_uid": f"1.{number}",
        "series_instance_uid": "1.3", "study_instance_uid": "1.2", "sop_class_uid": CT,
        "location": "", "digest_sent": "", "digest_read_back": "", "proof": "read-back",
        "etag": "", "size_bytes": 2_000_000, "attempt": 1, "delivered_at": at,
    }  # fmt: skip


def association(number: int, verdict: str, outcome: str) -> dict[str, Any]:
    return {
        "id": number, "name": f"a{number}", "node": "", "began_at": NOW, "seconds": 2.0,
        "calling_ae": "CT1", "called_ae": "ME", "address": "::1", "tls_name": None,
        "verdict": verdict, "cause": "", "outcome": outcome, "words": "", "accepted_contexts": 1,
        "refused_contexts": 0, "statuses": {"0x0000": 3}, "size_bytes": 5_000_000,
    }  # fmt: skip


def inference(number: int, version: str, beside: int | None, volume: float) -> dict[str, Any]:
    return {
        "id": number, "beside": beside, "job": 2, "node": "", "model": "lung",
        "served_model": "ct", "version": version, "digest": "", "server": "triton",
        "stage": "live" if beside is None else "shadow", "endpoint": "here:1",
        "study_instance_uid": "1.2", "series_instance_uid": "1.3", "revision": 1, "rule": "all",
        "outcome": "found", "words": "", "images": 4, "is_cached": False, "input_digest": "",
        "scanner": "Maker", "protocol": "THORAX", "began_at": NOW, "read_s": 0.1,
        "model_s": 0.25 * number, "report_s": 0.1, "outputs": {"volume": volume}, "features": {},
        "results": {"sr": ["1.9"]},
    }  # fmt: skip


def fill(index: Index, entry: Callable[..., Entry]) -> None:
    """A day of a small hospital."""
    slices = [
        entry(n, InstanceNumber=str(n), ProtocolName="THORAX") for n in (1, 2, 4, 5)
    ]  # the third is missing
    exposures = [
        entry(
            40 + n, SOPClassUID=DX, StudyInstanceUID="3.1", SeriesInstanceUID="3.2", Modality="DX",
            StationName="ROOM1", AcquisitionDateTime=f"202311141000{30 * n:02}",
        )
        for n in range(2)
    ] + [
        entry(
            42, SOPClassUID=DX, StudyInstanceUID="3.1", SeriesInstanceUID="3.2", Modality="DX",
            StationName="ROOM1", AcquisitionDateTime="20231114120000",
        )
    ]  # fmt: skip
    reports = [
        entry(50, SOPClassUID=SR, StudyInstanceUID="1.2", SeriesInstanceUID="5.2", Modality="SR"),
        entry(51, SOPClassUID=KO, StudyInstanceUID="3.1", SeriesInstanceUID="5.3", Modality="KO"),
    ]
    index.add([*slices, *exposures, *reports], {"seg": 9})
    made = {
        "1.1": {"00180060": value("DS", 120), "00180050": value("DS", 1.25),
                "00181210": value("SH", "B31f"), "00181030": value("LO", "THORAX"),
                "00189345": value("FD", 9.5)},
        "1.40": {"00180015": value("CS", "HAND"), "00185101": value("CS", "PA")},
        "1.41": {"00180015": value("CS", "HAND"), "00185101": value("CS", "PA")},
        "1.42": {"00180015": value("CS", "HAND"), "00185101": value("CS", "PA")},
        "1.50": DOSE_REPORT, "1.51": REJECTION,
    }  # fmt: skip
    series = {"1.1": "1.3", "1.40": "3.2", "1.41": "3.2", "1.42": "3.2", "1.50": "5.2",
              "1.51": "5.3"}  # fmt: skip
    heads = [HeadRow(series[uid], uid, None, json.dumps(head)) for uid, head in made.items()]
    index.add_heads(heads, {})
    rows = {
        "revision": [revision(1, "1.3", NOW + 8, missing=2)],
        "job": [
            job(1, "forward", "done"),
            job(2, "infer", "done"),
            job(3, "forward", "held", "refused"),
            job(4, "forward", "held", "refused"),
        ],
        "receipt": [receipt(1, NOW + 16), receipt(2, NOW + 17.5)],
        "association": [association(1, "accepted", "released"), association(2, "rejected", "")],
        "event": [],
        "inference": [
            inference(1, "1", None, 10.0),
            inference(2, "2", 1, 13.0),
            inference(3, "1", None, 20.0),
            inference(4, "2", 3, 21.0),
        ],
    }
    AccountTables(index).add(Batch(rows, {}))


@pytest.fixture(scope="module")
def run(tmp_path_factory, entries: Callable[..., Entry]) -> Iterator[Callable[..., list[Any]]]:
    """Run a report over the day; gives its rows as objects."""
    folder = tmp_path_factory.mktemp("saved")
    index = Index.open(folder / "index.duckdb")
    fill(index, entries)
    desk = Questions(index, Limits(), folder)

    def ran(name: str, **given: str) -> list[dict[str, Any]]:
        report = Reports().find(name)
        question = Question(report.sql, report.values(given, NOW + 100), "lines")
        tables, out = io.BytesIO(), io.BytesIO()

        def give(line: str) -> None:
            desk._give(SimpleNamespace(into=tables), json.loads(line)["need"], report.role)
            tables.seek(0)

        request = desk._request(question, report.role, 10)
        question_process.answer(request, tables, out, SimpleNamespace(write=give))
        return [json.loads(line) for line in out.getvalue().splitlines()]

    yield ran
    index.close()


def only(rows: list[dict[str, Any]], *names: str, **where: object) -> list[tuple[object, ...]]:
    """Give some columns of the rows that are meant."""
    return [
        tuple(row[name] for name in names)
        for row in rows
        if all(row[key] == wanted for key, wanted in where.items())
    ]


def test_volume(run):
    """Objects, Series, Studies and megabytes are counted by hour and modality."""
    found = run("volume")
    assert only(found, "hour", "objects", "series", "studies", Modality="CT") == [
        ("2023-11-14T22:00:00", 4, 1, 1)
    ]
    assert only(found, "objects", Modality="DX") == [(3,)]
    assert run("volume", days="0") == []


def test_dose(run):
    """Numbers of a dose report are found at any depth, and dose of images by protocol."""
    found = run("dose")
    assert only(found, "quantity", "unit", "median", source="dose report") == [
        ("CT Dose Length Product Total", "mGy.cm", 410.5),
        ("Mean CTDIvol", "mGy", 11.5),
    ]
    assert only(found, "ProtocolName", "quantity", "highest", source="image") == [
        ("THORAX", "CTDIvol", 9.5)
    ]


def test_inferences(run):
    """Each version's questions of a day, and how long they took."""
    found = run("inferences")
    assert only(found, "inferences", "found", "p50_s", "stage", version="1") == [
        (2, 2, 0.5, "live")
    ]
    assert only(found, "p50_s", version="2") == [(0.75,)]
    assert run("inferences", days="0") == []


def test_agreement(run):
    """A shadow's numbers less the live ones, with their limits."""
    (row,) = run("agreement")
    assert (row["live"], row["shadow"], row["output"], row["pairs"]) == ("1", "2", "volume", 2)
    assert (row["bias"], row["low"], row["high"]) == (2.0, -0.7719, 4.7719)


def test_latency(run):
    """Each stage takes what lies between its two moments."""
    found = {row["stage"]: row["p50_s"] for row in run("latency")}
    assert found == {
        "received to filed": 2.0, "filed to settled": 5.0, "settled to begun": 6.0,
        "begun to delivered": 3.5, "received to delivered": 17.5,
    }  # fmt: skip


def test_repeats_and_rejects(run):
    """The same view within minutes is a repeat, hours later it is none; one was rejected."""
    assert run("repeats") == [
        {"StationName": "ROOM1", "Modality": "DX", "exposures": 3, "repeated": 1, "rejected": 1,
         "repeat_percent": 33.3, "reject_percent": 33.3}
    ]  # fmt: skip
    assert only(run("repeats", minutes="150"), "repeated") == [(2,)]


def test_missing_slices(run):
    """A gap in the numbers and what was announced and never came are told of a Series."""
    assert only(
        run("missing-slices"), "Modality", "ProtocolName", "objects", "gaps",
        "announced_and_missing", "settled_because",
    ) == [("CT", "THORAX", 4, 1, 2, "quiet")]  # fmt: skip


def test_protocol_drift(run):
    """How Series of a protocol were made stands there week by week."""
    found = run("protocol-drift", protocol="thor")
    assert only(found, "setting", "value", "series", "percent") == [
        ("ConvolutionKernel", "B31f", 1, 100.0),
        ("KVP", "120.0", 1, 100.0),
        ("SliceThickness", "1.25", 1, 100.0),
    ]
    assert {row["week"] for row in found} == {"2023-11-13"}
    assert {(row["usual"] == row["value"], row["as_usual_percent"]) for row in found} == {
        (True, 100.0)
    }
    assert run("protocol-drift", protocol="no such") == []


def test_failures(run):
    """Failed jobs are counted by target and fault."""
    assert only(run("failures"), "target", "fault", "state", "jobs", "attempts") == [
        ("pacs", "refused", "held", 2, 4)
    ]


def test_storage(run):
    """What came in is told by its age."""
    assert sorted(only(run("storage"), "age", "Modality", "objects")) == [
        ("today", "CT", 4), ("today", "DX", 3), ("today", "KO", 1), ("today", "SR", 1),
    ]  # fmt: skip


def test_associations_and_deliveries(run):
    """Who called and what was delivered is summed up."""
    assert only(run("associations"), "calling_ae", "outcome", "associations", "objects") == [
        ("CT1", "rejected", 1, 3),
        ("CT1", "released", 1, 3),
    ]
    assert run("deliveries") == [
        {"day": "2023-11-14", "destination": "pacs", "proof": "read-back", "objects": 2,
         "megabytes": 4.0}
    ]  # fmt: skip


def test_every_report_has_a_test_and_plots_what_it_has(run):
    """Nothing comes along that is not read, run and drawn from columns that it gives."""
    found, faults = Reports().list()
    assert not faults
    assert {one.name for one in found} == {file.stem for file in SHIPPED.glob("*.sql")}
    text = Path(__file__).read_text("utf-8")
    for one in found:
        assert f'"{one.name}"' in text
        assert one.role is Role.PLAIN
        if one.plot and (rows := run(one.name)):
            assert {one.plot.x, one.plot.y} | ({one.plot.by} - {""}) <= rows[0].keys()


def test_a_report_says_what_it_is():
    """Title, words, role, parameters with types and defaults, and the drawing are read."""
    text = GOOD.replace(
        "SELECT", "-- param: name text - Whose.\n-- plot: lines x=a y=b by=c\nSELECT"
    )
    found = read("mine", text, is_own=True)
    assert (found.title, found.words, found.role, found.is_own) == ("T", "W", Role.PLAIN, True)
    assert [(one.name, one.type, one.default) for one in found.parameters] == [
        ("days", "int", "7"), ("name", "text", ""),
    ]  # fmt: skip
    assert (found.plot.kind, found.plot.x, found.plot.y, found.plot.by) == ("lines", "a", "b", "c")
    assert found.values({"days": "3"}, 0.0) == {
        "days": "3", "name": "", "now": "1970-01-01 00:00:00",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("Mine", GOOD, "named by"),
        ("mine", GOOD.replace("-- title: T\n", ""), "title stands there 0 times"),
        ("mine", "-- title: U\n" + GOOD, "title stands there 2 times"),
        ("mine", GOOD.replace("role: sql", "role: admin"), "role: one of"),
        ("mine", GOOD.replace("int 7", "int x"), "days is no int"),
        ("mine", GOOD.replace("int 7", "integer 7"), "param: NAME"),
        ("mine", GOOD.replace("days int", "now int"), "called now"),
        ("mine", "-- hello\n" + GOOD, "line 1"),
        ("mine", GOOD.replace("SELECT", "-- plot: pie x=a\nSELECT"), "plot: bars"),
    ],
)
def test_a_file_that_is_no_report_says_why(name: str, text: str, words: str):
    """Each mistake in the first lines is named."""
    with pytest.raises(CannotUnderstand, match=words):
        read(name, text)


@pytest.mark.parametrize(
    "given", [{"days": "x"}, {"days": "1; DROP"}, {"other": "1"}, {"days": "1\0"}]
)
def test_a_parameter_that_does_not_fit_is_refused(given: dict[str, str]):
    """Values are of their type, and of parameters that there are."""
    with pytest.raises(CannotUnderstand, match=r"days|other"):
        read("mine", GOOD).values(given, 0.0)


def test_own_reports_stand_beside_those_that_come_along(tmp_path: Path):
    """A folder's reports are listed and come first; a file that is none is told, and no other."""
    (tmp_path / "mine.sql").write_text(GOOD)
    (tmp_path / "volume.sql").write_text(GOOD)
    (tmp_path / "broken.sql").write_text("SELECT 1")
    (tmp_path / "latin.sql").write_bytes(b"-- title: \xff\n")
    (tmp_path / "notes.txt").write_text("no report")
    reports = Reports(tmp_path)
    found, faults = reports.list()
    own = {one.name for one in found if one.is_own}
    assert (own, set(faults)) == ({"mine", "volume"}, {"broken.sql", "latin.sql"})
    assert isinstance(reports.find("volume"), Report)
    assert reports.find("volume").is_own
    for name in ("none", "../mine", "mine.sql", "", "a" * 65):
        with pytest.raises(DoesNotMatch):
            reports.find(name)
    assert Reports(tmp_path / "gone").list()[0]
