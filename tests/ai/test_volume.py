"""A Series becomes a volume in Hounsfield units, or a refusal that names what is wrong."""

import io
import math
import mmap
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import RLELossless

from ai import phantom, volume
from ai.contract import Orientation, Wants
from dicom.errors import Unsuitable

CT = Wants(modality="CT", min_slices=20, max_spacing_mm=5)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    truth = phantom.write(tmp_path_factory.mktemp("small"), slices=7, size=64, spacing_mm=3)
    return [path.read_bytes() for path in truth.files]


def test_the_volume_holds_every_slice_in_place(truth, series):
    """Slice z of the volume is the z-th slice from the feet, rescaled to HU."""
    stack = volume.read(series, CT)
    expected = [dcmread(path).pixel_array.astype(int) - 1024 for path in truth.files]
    assert np.array_equal(stack.voxels, np.stack(expected))
    assert stack.voxels.dtype == np.int16
    assert stack.spacing_mm == pytest.approx((5.0, 350 / 128, 350 / 128), rel=1e-5)
    assert stack.source.series_instance_uid == truth.series_instance_uid
    uids = [dcmread(path).SOPInstanceUID for path in truth.files]
    assert [reference.sop_instance_uid for reference in stack.source.references] == uids


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(7)))
def test_the_order_of_arrival_does_not_matter(small, order):
    """Shuffled slices give the same volume."""
    wants = replace(CT, min_slices=7)
    shuffled = volume.read([small[index] for index in order], wants)
    straight = volume.read(small, wants)
    assert np.array_equal(shuffled.voxels, straight.voxels)
    assert shuffled.source.references == straight.source.references


def test_slices_that_are_rescaled_apart_keep_their_own_headers(series, edited):
    """One slice's rescale says nothing of another's: a presentation state has to know."""

    def change(z, ds):
        ds.RescaleIntercept = str(-1024 - z)

    source = volume.read(edited(change), CT).source
    assert [int(source.head_of(z).RescaleIntercept) for z in (0, 1, 5)] == [-1024, -1025, -1029]
    alike = volume.read(series, CT).source
    assert alike.heads == ()
    assert alike.head_of(5) is alike.head


def test_compressed_slices_give_the_same_volume(series, edited):
    """An RLE Lossless Series is decoded to the same voxels."""
    packed = edited(lambda _, ds: ds.compress(RLELossless))
    assert np.array_equal(volume.read(packed, CT).voxels, volume.read(series, CT).voxels)


@settings(max_examples=50, deadline=None)
@given(
    slope=st.sampled_from([1, 2, -1, 0.5, 1.25, 0.0001, 1023]),
    intercept=st.sampled_from([0, -1024, -8192, 0.25, 2**20]),
    values=st.lists(st.integers(0, 65535), min_size=1, max_size=20),
)
def test_rescale_rounds_and_clips(slope, intercept, values):
    """Every stored value becomes slope * value + intercept, rounded, and clipped to int16."""
    stored = np.array([values], dtype=np.uint16)
    out = np.empty(stored.shape, dtype=np.int16)
    volume.rescale(stored, float(slope), float(intercept), out)
    exact = [round(slope * value + intercept) for value in values]
    assert out[0].tolist() == [min(max(value, -32768), 32767) for value in exact]


def test_an_intercept_may_be_larger_than_sixteen_bits_hold():
    """Unsigned values far from zero are moved to where they fit."""
    stored = np.array([[40000, 39000, 65535, 10000]], dtype=np.uint16)
    out = np.empty(stored.shape, dtype=np.int16)
    volume.rescale(stored, 1.0, -40000.0, out)
    assert out[0].tolist() == [0, -1000, 25535, -30000]


def _set(keyword, value, only=None):
    def change(z, ds):
        if only is None or z == only:
            setattr(ds, keyword, value)

    return change


def _delete(keyword):
    return lambda _, ds: delattr(ds, keyword)


def _move(z_mm=0.0, y_mm=0.0, only=5):
    def change(z, ds):
        if z == only:
            x, y, height = ds.ImagePositionPatient
            ds.ImagePositionPatient = [x, y + y_mm, height + z_mm]

    return change


def _shear(z, ds):
    x, y, height = ds.ImagePositionPatient
    ds.ImagePositionPatient = [x, y + 0.3 * z * 5, height]


def _sagittal(z, ds):
    ds.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    ds.ImagePositionPatient = [5.0 * z, 0, 0]


@pytest.mark.p6
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set("Modality", "MR"), "not of Modality CT"),
        (_set("Modality", "MR", only=3), "not of Modality CT"),
        (_set("ImageOrientationPatient", [0, 1, 0, 0, 0, -1], only=3), "orientation"),
        (_set("ImageOrientationPatient", [1, 0, 0, 0, 0, 0]), "unit vectors"),
        (_set("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "right angle"),
        (_set("ImageOrientationPatient", [1, 0, 0]), "6 finite numbers"),
        (_sagittal, "not axial"),
        (_move(z_mm=-5), "at the place of another"),
        (_move(z_mm=1), "unevenly spaced"),
        (_move(y_mm=20), "shifted sideways"),
        (_move(y_mm=20, only=23), "sheared"),
        (_shear, "tilted gantry"),
        (_delete("ImagePositionPatient"), "no ImagePositionPatient"),
        (_delete("RescaleSlope"), "no RescaleSlope"),
        (_delete("RescaleIntercept"), "no RescaleIntercept"),
        (_set("RescaleSlope", 0), "RescaleSlope is 0"),
        (_set("RescaleType", "US"), "not HU"),
        (_set("PixelSpacing", [1.0, 1.0], only=3), "PixelSpacing"),
        (_set("PixelSpacing", [0, 1.0]), "not positive"),
        (_set("PatientID", "SOMEBODY ELSE", only=3), "PatientID"),
        (_set("StudyInstanceUID", "1.2.3", only=3), "StudyInstanceUID"),
        (_set("SeriesInstanceUID", "1.2.3", only=3), "SeriesInstanceUID"),
        (_set("FrameOfReferenceUID", "1.2.3", only=3), "FrameOfReferenceUID"),
        (_set("SOPInstanceUID", "1.2.3"), "same SOPInstanceUID"),
        (_set("Rows", 64, only=3), "Rows and Columns"),
        (_set("NumberOfFrames", 2), "multi-frame"),
        (_set("PhotometricInterpretation", "RGB"), "MONOCHROME2"),
        (_set("PixelData", b"\0\0" * 100, only=3), "cannot be decoded"),
        (_delete("PixelData"), "cannot be decoded"),
    ],
)
def test_what_cannot_be_measured_is_refused(edited, change, words):
    """Each wrong Series is refused with words that name the fault and no patient's data."""
    with pytest.raises(Unsuitable, match=words) as refusal:
        volume.read(edited(change), CT)
    said = str(refusal.value)
    assert not [value for value in (*phantom.Patient().strings, "SOMEBODY") if value in said]


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (range(19), "19 slices; at least 20"),
        ([z for z in range(24) if z != 7], "1 slices are missing"),
        ([z for z in range(24) if z not in {7, 8, 15}], "3 slices are missing"),
        ([*range(24), 3], "same SOPInstanceUID"),
    ],
)
def test_an_incomplete_series_is_refused(series, keep, words):
    """Too few slices, gaps and doubles are counted in the refusal."""
    with pytest.raises(Unsuitable, match=words):
        volume.read([series[z] for z in keep], CT)


def test_slices_too_far_apart_are_refused(series):
    """The contract's greatest spacing is kept."""
    with pytest.raises(Unsuitable, match=r"5.00 mm apart; at most 3 mm"):
        volume.read(series, replace(CT, max_spacing_mm=3))


def test_sagittal_slices_serve_a_model_that_takes_any(edited):
    """Orientation is asked for by the contract, not by the reader."""
    wants = replace(CT, orientation=Orientation.ANY, max_spacing_mm=math.inf)
    assert volume.read(edited(_sagittal), wants).spacing_mm[0] == pytest.approx(5)


@pytest.mark.parametrize("broken", [b"", b"no DICOM", b"\0" * 128 + b"DICM"])
def test_what_is_no_dicom_is_refused(series, broken):
    """Bytes that are no Part 10 file are a refusal, never a crash."""
    with pytest.raises(Unsuitable, match="object 4"):
        volume.read([*series[:3], broken, *series[4:]], CT)


def test_a_truncated_file_is_refused(series):
    """A file cut in its pixel data is a refusal."""
    with pytest.raises(Unsuitable, match="cannot be decoded"):
        volume.read([*series[:3], series[3][:-1000], *series[4:]], CT)


@pytest.mark.parametrize("broken", [False, True])
def test_a_mapped_spool_can_be_closed_afterwards(tmp_path, series, broken):
    """Reading a mapped file keeps no hold on it, even when the Series is refused."""
    path = tmp_path / "segment"
    path.write_bytes(b"".join(series))
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with memoryview(mapped) as whole:
        ends = np.cumsum([len(part10) for part10 in series]).tolist()
        views = [whole[end - len(part10) : end] for end, part10 in zip(ends, series, strict=True)]
        if broken:
            views[3] = views[3][:-1000]
            with pytest.raises(Unsuitable) as refusal:
                volume.read(views, CT)
            assert refusal.value.__traceback__ is not None  # its frames still hold the readers
        else:
            assert volume.read(views, CT).voxels.shape == (24, 128, 128)
        for view in views:
            view.release()
    mapped.close()


def test_the_phantom_is_the_same_each_time(tmp_path):
    """The same arguments write the same bytes."""
    first = phantom.write(tmp_path / "a", slices=3, size=64)
    second = phantom.write(tmp_path / "b", slices=3, size=64)
    assert [a.read_bytes() for a in first.files] == [b.read_bytes() for b in second.files]
    other = phantom.write(tmp_path / "c", slices=3, size=64, label="2")
    assert not {*first.identity[-3:]} & {*other.identity[-3:]}
    assert dcmread(io.BytesIO(other.files[0].read_bytes())).Modality == "CT"
