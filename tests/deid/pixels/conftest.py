"""Objects with pictures in them, written by other means than those under test."""

import importlib.util
import io
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from deid import parse
from deid.container import open_part10
from deid.pixels.boxes import Box
from deid.pixels.clean import clean
from deid.pixels.render import colours
from deid.pixels.rules import read_rules

CT = "1.2.840.10008.5.1.4.1.1.2"
US = "1.2.840.10008.5.1.4.1.1.6.1"
PATIENT = "DOE^JANE 1961-02-03"
"""What the pictures say."""


def phantom(rows, columns, top=150):
    """A body: a bright disc in a dark field with a soft shade over it; values 0 to `top`."""
    y, x = np.mgrid[0:rows, 0:columns]
    inside = ((y - rows / 2) / (rows / 2.4)) ** 2 + ((x - columns / 2) / (columns / 2.6)) ** 2 < 1
    shade = 0.5 + 0.25 * np.sin(x / 23) + 0.25 * np.cos(y / 31)
    return np.where(inside, shade * top, top * 0.04).astype(np.int64)


def written(rows, columns, text=PATIENT, size=22, at=(20, 20), *, quarters=0):
    """The pixels (y, x) that a text covers, its strokes alone, turned counter-clockwise."""
    turned = (columns, rows) if quarters % 2 == 0 else (rows, columns)
    sheet = Picture.new("L", turned, 0)
    ImageDraw.Draw(sheet).text(at, text, fill=255, font=ImageFont.load_default(size))
    return np.rot90(np.asarray(sheet) > 127, quarters)


def pack(frames, photometric, planar):
    """Lay out frames (frame, y, x) or (frame, y, x, sample) as native pixel data."""
    if photometric == "YBR_FULL_422" and planar == 0:
        y, cb, cr = (frames[..., each] for each in range(3))
        cells = np.stack([y[..., 0::2], y[..., 1::2], cb[..., 0::2], cr[..., 0::2]], axis=-1)
        return cells.tobytes()
    if planar == 1:
        frames = frames.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(frames).tobytes()


@dataclass
class Recipe:
    """How an object is written."""

    photometric: str = "MONOCHROME2"
    bits: int = 8
    signed: bool = False
    planar: int = 0
    syntax: str = ExplicitVRLittleEndian
    sop_class: str = SecondaryCaptureImageStorage


def describe(frames, recipe, **attributes):
    """A dataset with everything but its pixels; frames are (frame, y, x[, sample])."""
    dataset = Dataset()
    dataset.SOPClassUID = recipe.sop_class
    dataset.SOPInstanceUID = "1.3.6.1.4.1.5962.99.1.1.1"
    dataset.SeriesInstanceUID = "1.3.6.1.4.1.5962.99.1.1"
    dataset.StudyInstanceUID = "1.3.6.1.4.1.5962.99.1"
    dataset.Modality = "OT"
    dataset.SamplesPerPixel = 1 if frames.ndim == 3 else 3
    dataset.PhotometricInterpretation = recipe.photometric
    if frames.ndim == 4:
        dataset.PlanarConfiguration = recipe.planar
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    dataset.Rows, dataset.Columns = frames.shape[1:3]
    dataset.BitsAllocated = 8 if recipe.bits <= 8 else 16
    dataset.BitsStored = recipe.bits
    dataset.HighBit = recipe.bits - 1
    dataset.PixelRepresentation = int(recipe.signed)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def save(dataset, syntax):
    """Write a Part 10 file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    target = io.BytesIO()
    pydicom.dcmwrite(target, dataset, enforce_file_format=True)
    return target.getvalue()


def build(frames, recipe=None, encoded=None, **attributes):
    """Write an object: native, or of frames that are encoded already."""
    recipe = recipe or Recipe()
    kind = f"{'i' if recipe.signed else 'u'}{1 if recipe.bits <= 8 else 2}"
    frames = np.asarray(frames).astype(kind)
    dataset = describe(frames, recipe, **attributes)
    if encoded is not None:
        dataset.PixelData = encapsulate(encoded)
        dataset["PixelData"].VR = "OB"
    else:
        value = pack(frames, recipe.photometric, recipe.planar)
        dataset.PixelData = value + b"\0" * (len(value) % 2)
        dataset["PixelData"].VR = "OB" if recipe.bits <= 8 else "OW"
    return save(dataset, recipe.syntax)


def taken_apart(part10):
    """What `clean` is given."""
    opened = open_part10(memoryview(part10))
    return parse.read(opened.dataset, opened.encoding), opened


def bright(shown, image, photometric):
    """A reader that takes white for text: the box around all white pixels, if there are any."""
    top = (1 << image.bits_stored) - 1
    if image.samples == 3 or image.palette is not None:
        seen = colours(shown, image, photometric).min(axis=2) > 240
    else:
        light = shown.astype(np.int64) + (top // 2 + 1 if image.signed else 0)
        light = top - light if photometric == "MONOCHROME1" else light
        seen = light > top * 0.95
    rows, columns = np.nonzero(seen)
    if not rows.size:
        return ()
    box = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    return (box,)


@pytest.fixture(scope="session")
def shipped():
    """The rules without any of a site's."""
    return read_rules()


@pytest.fixture
def run(shipped):
    """Clean a Part 10 file: by default with a reader that takes white for text."""

    def _run(part10, rules=shipped, reader=bright):
        return clean(*taken_apart(part10), rules, reader=reader)

    return _run


def put_back(part10, cleaned):
    """The dataset with its cleaned pixels, as another program would read it."""
    dataset = pydicom.dcmread(io.BytesIO(part10))
    value = b"".join(cleaned.chunks)
    undefined = dataset["PixelData"].is_undefined_length
    dataset.PixelData = value[:-8] if undefined else value
    dataset["PixelData"].is_undefined_length = undefined
    for tag, (vr, raw) in cleaned.attributes.items():
        dataset.add_new(tag, vr, raw if vr == "OV" else raw.decode("ascii").split("\\"))
    return dataset


def decoded(dataset):
    """Frames (frame, y, x[, sample]) as stored, by pydicom."""
    array = pixel_array(dataset, raw=True)
    single = int(dataset.get("NumberOfFrames", 1)) == 1
    return array[np.newaxis] if single else array


def original(part10):
    """Frames as stored before."""
    return decoded(pydicom.dcmread(io.BytesIO(part10)))


@pytest.fixture(scope="session")
def make():
    """What tests of pixels share: pictures, objects, and readers of them."""
    return SimpleNamespace(
        CT=CT,
        US=US,
        Recipe=Recipe,
        bright=bright,
        build=build,
        decoded=decoded,
        describe=describe,
        original=original,
        phantom=phantom,
        put_back=put_back,
        save=save,
        taken_apart=taken_apart,
        written=written,
    )


@pytest.fixture
def grey():
    """Frames (frame, y, x) of 120 x 160, `count` of them, the text in those of `marked`."""

    def _grey(count=1, marked=(0,), bits=8, low=0, white=None):
        scale = (1 << bits) - 1
        body = phantom(120, 160, scale * 0.6) + low
        strokes = written(120, 160, "DOE^JANE", 18, (20, 8))
        frames = np.stack([np.roll(body, 3 * number, axis=1) for number in range(count)])
        for number in marked:
            frames[number][strokes] = scale + low if white is None else white
        return frames

    return _grey


@pytest.fixture(scope="session")
def needs_ocr():
    if importlib.util.find_spec("rapidocr_onnxruntime") is None:
        pytest.skip("rapidocr-onnxruntime is not installed: pip install penumbra-node[ocr]")


@pytest.fixture(scope="session")
def needs_gdcm():
    if importlib.util.find_spec("gdcm") is None:
        pytest.skip("python-gdcm is not installed: pip install penumbra-node[ocr]")
