"""Validators that others wrote find no error in results of any kind. `make results` asks of all."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
from pydicom import dcmread

from ai import gate
from ai.result import ResultKind
from dicom.entity import SeriesKey
from examples.results import originals, validators
from examples.results.__main__ import Case, case, judge, unresolved

CHOSEN = (
    ("CT", "together", 1),
    ("MR", "masks", 3),
    ("DX", "together", 5),
    ("MG", "marks", 8),
    ("CR", "refusal", 6),
    ("SM", "together", 11),
    ("CT", "none", 14),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> list[Case]:
    """Some results of every kind."""
    folder = tmp_path_factory.mktemp("results")
    return [
        case(folder, kind, found, originals.NAMES[name], f"{kind}-{found}")
        for kind, found, name in CHOSEN
    ]


def _objects(made: list[Case]) -> Iterator[tuple]:
    for one in made:
        yield from (
            (path, result.kind) for path, result in zip(one.paths, one.results, strict=True)
        )


def test_no_validator_finds_an_error(made, monkeypatch):
    """dciodvfy, DCMTK and highdicom are content with objects of all kinds."""
    monkeypatch.setattr(validators, "has_pixelmed", lambda: False)
    objects = list(_objects(made))
    assert {kind for _, kind in objects} == set(ResultKind)
    with ThreadPoolExecutor(2) as pool:
        judged = list(pool.map(lambda one: judge(*one), objects))
    assert [(path.name, found) for (path, _), found in zip(objects, judged, strict=True)
            if any(found.values())] == []  # fmt: skip


@pytest.mark.skipif(
    not validators.has_pixelmed(),
    reason=f"needs PixelMed (Debian: apt-get install {validators.PIXELMED_PACKAGES})",
)
def test_pixelmed_knows_the_templates(made):
    """PixelMed's validator finds TID 1500 kept by a report with findings of every kind."""
    assert validators.pixelmed(made[0].paths[0]) == []


def test_every_reference_leads_somewhere(made):
    """What an object refers to is an original or another result of the same inference."""
    assert [lost for one in made for lost in unresolved(one)] == []


def test_the_gate_lets_them_through(made):
    """What is built here fits the originals that it was built from."""
    for (kind, _, name), one in zip(CHOSEN, made, strict=True):
        source = originals.source(kind, originals.NAMES[name])
        key = SeriesKey(source.study_instance_uid, source.series_instance_uid)
        stored = {
            reference.sop_instance_uid: gate.Stored(reference.sop_class_uid, key)
            for reference in source.references
        }
        gate.check(
            [(result.part10, sha256(result.part10).hexdigest()) for result in one.results],
            gate.Originals(source.study_instance_uid, stored, [source.head]),
            gate.Promise((), {}),
        )


@pytest.mark.parametrize(
    ("kind", "keyword"),
    [
        (ResultKind.SR, "CompletionFlag"),
        (ResultKind.SEG, "SegmentSequence"),
        (ResultKind.GSPS, "DisplayedAreaSelectionSequence"),
        (ResultKind.SC, "ConversionType"),
        (ResultKind.PM, "SharedFunctionalGroupsSequence"),
    ],
)
def test_the_checks_can_fail(made, tmp_path, kind, keyword):
    """An object without something that it must have is found out."""
    path = next(path for path, found in _objects(made) if found is kind)
    ds = dcmread(path)
    delattr(ds, keyword)
    ds.save_as(tmp_path / "spoilt.dcm")
    assert validators.dciodvfy(tmp_path / "spoilt.dcm")
