"""Breast density and micro-calcifications of a mammogram, measured by the real Triton."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ai.findings import Box, Measurement, Point
from ai.phantoms import breast
from examples.peers.asking import words

NEAR_PIXELS = 4
FEW = 2
"""False candidates on one image."""


@pytest.fixture
def ask(asker):
    return lambda image, mm=0.1: asker.ask(
        "mg_density",
        {
            "images": image.astype(np.float32)[np.newaxis],
            "spacing": np.array([mm, mm], np.float32),
        },
    )


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """One image of a breast with a density and a view, and its truth."""
    made = {}

    def make(density, view):
        key = (density, view)
        if key not in made:
            folder = tmp_path_factory.mktemp("breast")
            series = breast.write(folder, density=density, views=[view], label=f"{density}")
            made[key] = (dcmread(series.written.files[0]).pixel_array, series.images[0])
        return made[key]

    return make


def matched(found, truth):
    """Which true places have a found one near by, and how many found ones have no true one."""
    away = np.hypot(
        *(np.array(truth)[:, np.newaxis] - found[np.newaxis, :, 1:3]).transpose(2, 0, 1)
    )
    return away.min(axis=1) < NEAR_PIXELS, int((away.min(axis=0) > NEAR_PIXELS).sum())


@pytest.mark.parametrize(
    ("density", "view", "category"),
    [(8, "LCC", 0), (30, "RMLO", 1), (62, "LMLO", 2), (78, "RCC", 3)],
)
def test_the_phantoms_truth_is_recovered(ask, pictures, density, view, category):
    """Density within a point and its category; all clusters, all spots, few that are none."""
    image, truth = pictures(density, view)
    answer = ask(image)
    assert words(answer) == ""
    assert abs(float(answer["density_percent"][0, 0]) - truth.density_percent) < 1
    assert answer["category"].tolist() == [[float(each == category) for each in range(4)]]
    found, false = matched(answer["calcifications"], truth.calcifications)
    assert found.mean() >= 0.95
    assert false <= FEW
    assert answer["calcification_count"][0, 0] == len(answer["calcifications"])
    boxes = answer["clusters"]
    assert answer["cluster_count"].tolist() == [[len(boxes)]]
    assert len(boxes) == len(truth.clusters)
    for row, column in truth.clusters:
        assert ((boxes[:, 1:3] < (row, column)) & (boxes[:, 3:5] > (row, column))).all(1).any()


def test_each_image_of_a_series_has_its_own_findings(found, tmp_path):
    """By contract, preparation and pool: stored either way round, places on the right image."""
    series = breast.write(tmp_path, density=20, views=["RCC", "LMLO"], is_monochrome1=True)
    said = found("mg_density", series.written.files)
    for image, truth in enumerate(series.images):
        mine = [one for one in said if getattr(one, "image", None) == image]
        numbers = {one.output: one.value for one in mine if isinstance(one, Measurement)}
        assert abs(numbers["density_percent"] - truth.density_percent) < 1
        assert numbers["cluster_count"] == len(truth.clusters)
        points = [(0, one.row, one.column) for one in mine if isinstance(one, Point)]
        hit, false = matched(np.array(points), truth.calcifications)
        assert hit.mean() >= 0.95
        assert false <= FEW
        assert len([one for one in mine if isinstance(one, Box)]) == len(truth.clusters)


def test_the_phantom_is_a_valid_mammogram(tmp_path):
    """dciodvfy finds no error in either view, each stored another way round."""
    checker = Path(sys.executable).with_name("dciodvfy")  # from the test extra dicom3tools
    for view, is_monochrome1 in (("RCC", False), ("LMLO", True)):
        series = breast.write(
            tmp_path, views=[view], is_monochrome1=is_monochrome1, clusters=0, single=0
        )
        for file in series.written.files:
            said = subprocess.run([checker, file], capture_output=True, text=True, check=False)
            assert "MammographyImageForPresentation" in said.stderr
            assert "Error" not in said.stderr


def test_spots_have_scores_and_lie_in_the_image(ask, pictures):
    """Every score is between 0 and 1, every place inside the image, the best comes first."""
    image, _ = pictures(30, "RMLO")
    spots = ask(image)["calcifications"]
    assert spots[:, 0].tolist() == [0.0] * len(spots)
    assert ((spots[:, 3] > 0) & (spots[:, 3] <= 1)).all()
    assert (np.diff(spots[:, 3]) <= 0).all()
    assert (spots[:, 1:3] >= 0).all()
    assert (spots[:, 1:3] <= image.shape).all()


def test_a_breast_without_calcifications_has_none(ask, tmp_path):
    """Neither glands, nor vessels, nor noise are called calcifications; empty answers are fine."""
    series = breast.write(tmp_path, views=["LCC"], clusters=0, single=0)
    answer = ask(dcmread(series.written.files[0]).pixel_array)
    assert len(answer["calcifications"]) <= FEW
    assert answer["clusters"].shape == (0, 6)


@pytest.mark.parametrize(
    ("why", "spoil"),
    [
        ("pixels are not between", lambda image: (image, 0.3)),
        ("pixels are not between", lambda image: (image, 0.0)),
        ("of one value", lambda image: (np.zeros_like(image), 0.2)),
        ("no breast", lambda image: (np.where(np.indices(image.shape)[0] < 20, 900, 60), 0.2)),
        ("no dark air", lambda image: (4095 - image, 0.2)),
        ("chest wall", lambda image: (np.pad(image, ((0, 0), (150, 150))), 0.2)),
        ("cannot be told apart", lambda image: (np.where(image > 700, 1250, 60), 0.2)),
        ("no numbers", lambda image: (np.where(image > 700, np.nan, 60), 0.2)),
    ],
)
def test_what_is_no_mammogram_is_refused(ask, pictures, why, spoil):
    """Wrong pixels, no air, no chest wall, one kind of tissue: words instead of numbers."""
    image, mm = spoil(pictures(30, "RMLO")[0][::2, ::2])
    answer = ask(np.asarray(image), mm)
    assert why in words(answer)
    assert not answer["density_percent"].any()
    assert not len(answer["calcifications"])
