"""Results of all kinds belong together, to the right study, and are the same in every run."""

import io
import time
from dataclasses import replace
from functools import partial

import pytest
from pydicom import config as pydicom_config
from pydicom import dcmread
from pydicom.dataset import Dataset

from ai.report.build import build
from ai.result import ResultKind
from dicom import uid
from dicom.errors import Unsuitable
from examples.results import originals
from examples.results.__main__ import SETTLED
from examples.results.findings import FINDINGS, references_in, subject

ALL = list(ResultKind)


def _built(kind, found, **changes):
    source = replace(originals.source(kind, originals.NAMES[0]), **changes)
    pixels = partial(originals.pixels, source)
    return build(subject(source, found), ALL, now=SETTLED, images=pixels)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("CT", {"sr": 1, "seg": 1, "gsps": 1, "sc": 4, "pm": 2}),
        ("PT", {"sr": 1, "seg": 1, "sc": 4, "pm": 2}),
        ("DX", {"sr": 1, "seg": 2, "gsps": 1, "sc": 2}),
        ("SM", {"sr": 1, "sc": 2}),
    ],
)
def test_findings_call_for_kinds(results, kind, expected):
    """The report is first; the others are those that can show what was found on such images."""
    made = results(kind, "together")
    assert made[0].kind is ResultKind.SR
    counted = {str(one): sum(result.kind is one for result in made) for one in ALL}
    assert {one: count for one, count in counted.items() if count} == expected


@pytest.mark.parametrize("found", ["none", "refusal", "nothing"])
def test_nothing_to_show_is_a_report_alone(results, found):
    """A refusal and a run without findings are reports, and nothing else."""
    assert [result.kind for result in results("CT", found)] == [ResultKind.SR]


@pytest.mark.parametrize("kind", ["seg", "gsps", "sc", "pm"])
def test_only_kinds_that_are_asked_for_are_made(results, kind):
    """A destination that shows one kind gets that and the report, which refers to no other."""
    made = results("CT", "together", ResultKind(kind))
    assert {result.kind for result in made} == {ResultKind.SR, ResultKind(kind)}
    here = {result.sop_instance_uid for result in made}
    originals_ = {
        one.sop_instance_uid for one in originals.source("CT", originals.NAMES[0]).references
    }
    assert references_in(dcmread(io.BytesIO(made[0].part10))) <= here | originals_


@pytest.mark.parametrize(
    ("kind", "found"), [("CT", "together"), ("DX", "together"), ("SM", "heat"), ("MR", "refusal")]
)
def test_a_second_run_makes_the_same_bytes(results, kind, found):
    """The same facts give the same files, whatever day it is."""
    again = _built(kind, found)
    assert [result.part10 for result in again] == [result.part10 for result in results(kind, found)]


def test_every_object_names_itself_once(results):
    """UIDs are valid and of one study; a kind has a Series and a number of its own."""
    made = results("CT", "together")
    instances = [result.sop_instance_uid for result in made]
    assert len(set(instances)) == len(instances)
    assert all(uid.is_valid(one) for one in instances)
    series = {result.kind: result.series_instance_uid for result in made}
    assert len(set(series.values())) == len(ALL)
    numbers = set()
    for result in made:
        ds = dcmread(io.BytesIO(result.part10))
        assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
        assert (ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID) == (
            result.sop_instance_uid,
            series[result.kind],
            result.study_instance_uid,
        )
        numbers.add(ds.SeriesNumber)
    assert len(numbers) == len(ALL)


def _changes():
    mask = next(one for one in FINDINGS["masks"](originals.source("CT", originals.NAMES[0])))
    labels = [plane.copy() for plane in mask.labels]
    labels[5][0, 0] = 1
    heat, *_ = FINDINGS["heat"](originals.source("CT", originals.NAMES[0]))
    values = [plane.copy() for plane in heat.values]
    values[3][0, 0] += 1
    return [(mask, replace(mask, labels=labels)), (heat, replace(heat, values=values))]


@pytest.mark.parametrize("change", [0, 1], ids=["a label", "a value of a heat map"])
def test_one_pixel_makes_other_instances(change):
    """Another pixel is another result in the same Series, never another one of the same UID."""
    before, after = _changes()[change]
    about = subject(originals.source("CT", originals.NAMES[0]), "none")
    first, second = (
        build(replace(about, findings=(one,)), ALL, now=SETTLED) for one in (before, after)
    )
    for one, other in zip(first, second, strict=True):
        assert one.series_instance_uid == other.series_instance_uid
        assert one.sop_instance_uid != other.sop_instance_uid


def test_the_series_follows_from_model_and_originals(results):
    """Another version has other Series, and so has what is said of another Series.

    Reports too: each goes where the rule says that asked for it, and a Series has one rule.
    """
    source = originals.source("CT", originals.NAMES[0])
    about = subject(source, "masks")
    newer = replace(about, contract=replace(about.contract, algorithm_version="2"))
    elsewhere = replace(about, source=replace(source, series_instance_uid="1.2.3"))
    first = results("CT", "masks", ResultKind.SEG)
    for other, is_same in ((newer, [False, False]), (elsewhere, [False, False])):
        made = build(other, [ResultKind.SEG], now=SETTLED)
        same = [
            one.series_instance_uid == two.series_instance_uid
            for one, two in zip(first, made, strict=True)
        ]
        assert same == is_same


@pytest.mark.parametrize("name", originals.NAMES, ids=lambda name: str(name.character_set))
def test_the_patient_reads_the_same_in_all_kinds(name):
    """Names in every character set that scanners write come out as they were, in UTF-8."""
    source = originals.source("CT", name, images=4, size=16)
    made = build(subject(source, "together"), set(ALL) - {ResultKind.SC}, now=SETTLED)
    assert {result.kind for result in made} == set(ALL) - {ResultKind.SC}
    for result in made:
        ds = dcmread(io.BytesIO(result.part10))
        assert ds.SpecificCharacterSet == "ISO_IR 192"
        assert str(ds.PatientName) == name.patient
        assert (ds.StudyDescription, ds.PatientID) == (name.study, "ZQX-EXAMPLE")
        assert (ds.StudyDate, ds.AccessionNumber) == ("20260302", "ZQXACC1")


def test_an_empty_header_is_no_obstacle():
    """An original that says next to nothing about itself still has results of all kinds."""
    for head in (Dataset(), _dirty()):
        made = _built("CT", "together", head=head)
        assert {result.kind for result in made} == set(ALL)
        for result in made:
            ds = dcmread(io.BytesIO(result.part10))
            assert "PatientName" in ds
            assert "StudyID" in ds


def _dirty():
    ds = Dataset()
    with pydicom_config.disable_value_validation():
        for keyword, value in {
            "Modality": "ct scan",
            "BodyPartExamined": "Thorax, à jeun",
            "PatientOrientation": "?",
            "WindowCenter": "40\\bad",
            "WindowWidth": "wide",
            "RescaleSlope": "1,5",
            "SamplesPerPixel": "1",
            "PatientWeight": "heavy",
            "StudyTime": "09:30",
            "PatientName": "A" * 200,
            "LossyImageCompression": "maybe",
        }.items():
            ds.add_new(keyword, "LO", value)
    return ds


def test_the_time_is_that_of_the_place():
    """Where the original states its offset from UTC, the content's time is in it."""
    head = Dataset()
    head.TimezoneOffsetFromUTC = "+0530"
    for result in _built("CT", "masks", head=head):
        ds = dcmread(io.BytesIO(result.part10))
        assert ds.TimezoneOffsetFromUTC == "+0530"
        assert ds.get("ContentTime", ds.get("PresentationCreationTime")) == "153000"


def test_a_finding_outside_the_series_is_refused():
    """A finding about an image that is not there becomes a fault, not a report."""
    source = originals.source("DX", originals.NAMES[0])
    about = subject(source, "measurements")
    lost = replace(about.findings[1], image=7)
    with pytest.raises(Unsuitable, match="no results can be built"):
        build(replace(about, findings=(lost,)), [], now=SETTLED)


def test_a_large_series_is_reported_in_time(results):
    """300 slices: a report in 0.3 s and 200 KB, of measurements and of masks with their numbers."""
    source = originals.source("CT", originals.NAMES[0], images=300, size=64)
    results("CT", "together")  # what is loaded at first use is not the report's time
    for found in ("measurements", "masks"):
        about = subject(source, found)
        took = []
        for _ in range(3):
            begun = time.process_time()
            (report,) = build(about, [ResultKind.SR], now=SETTLED)
            took.append(time.process_time() - begun)
        assert min(took) <= 0.3
        assert len(report.dataset) <= 200_000


def test_many_findings_about_single_images_stay_readable(results):
    """A verdict and a number for each of 300 images keep the report small; the rest is counted."""
    source = originals.source("CT", originals.NAMES[0], images=300, size=64)
    about = subject(source, "verdicts")
    each = [
        replace(about.findings[2], image=image, probability=image / 300, is_present=image > 150)
        for image in range(300)
    ]
    (report,) = build(replace(about, findings=tuple(each)), [], now=SETTLED)
    assert len(report.dataset) <= 200_000
    assert (
        b"260 more images are not listed; present on 109 of them, absent on 151" in report.dataset
    )
