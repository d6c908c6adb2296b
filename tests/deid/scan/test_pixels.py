"""Text in pixels is read by OCR: in frames, overlays and icons, bright or dark."""

import importlib.util
import io

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pack_bits
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from deid.scan import pixels, wanted
from deid.scan.scanner import Finding, Gap, Listed, Scanner

needs_ocr = pytest.mark.skipif(
    importlib.util.find_spec("rapidocr_onnxruntime") is None,
    reason="needs rapidocr-onnxruntime (pip install 'penumbra-node[ocr]')",
)
SIZE = (240, 480)


def burned(text: str, *, size=SIZE, ink: int = 255, paper: int = 0) -> np.ndarray:
    """Draw text into a frame (y, x)."""
    image = Image.new("L", (size[1], size[0]), paper)
    ImageDraw.Draw(image).text((20, size[0] // 3), text, ink, ImageFont.load_default(32))
    return np.asarray(image)


def image(frames: np.ndarray, **facts: object) -> Dataset:
    """Make an image of frames (frame, y, x), 8 bits."""
    dataset = Dataset()
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = frames.tobytes()
    for name, value in facts.items():
        setattr(dataset, name, value)
    return dataset


@pytest.fixture(scope="module")
def reader():
    return pixels.load_reader()


@pytest.fixture
def look(reader, identity, part10, tmp_path):
    """Scan an object with OCR; gives places and lines."""

    def look(dataset, most=None, syntax=ExplicitVRLittleEndian):
        file = tmp_path / "object.dcm"
        file.write_bytes(part10(dataset, syntax))
        scanner = Scanner(wanted.read(identity.encode()), reader, most)
        told = scanner.scan(Listed(file, tmp_path))
        assert not [each for each in told if isinstance(each, Gap)]
        return {(each.where, each.line) for each in told if isinstance(each, Finding)}

    return look


@needs_ocr
@pytest.mark.parametrize(("ink", "paper"), [(255, 0), (0, 255), (140, 90)])
def test_text_in_a_frame_is_found(look, line, ink, paper):
    """Bright or dark, strong or faint, in whichever frame it stands."""
    frames = np.stack(
        [np.full(SIZE, paper, np.uint8), burned("MUSTERMANN ANNE", ink=ink, paper=paper)]
    )
    assert ("pixels, frame 2", line["name"]) in look(image(frames))


@needs_ocr
def test_frames_are_sampled(look, line):
    """With a number of frames the first and the last are among them."""
    frames = np.zeros((5, *SIZE), np.uint8)
    frames[4] = burned("PAT-4711-X")
    assert look(image(frames), most=2) == {("pixels, frame 5", line["id"])}
    frames = frames[[0, 4, 1, 2, 3]]
    assert look(image(frames), most=2) == set()


@needs_ocr
def test_overlays_and_icons_are_pictures_too(look, line):
    """Text drawn into an overlay's bits, or into an icon inside a sequence, is found."""
    dataset = image(np.zeros((1, *SIZE), np.uint8))
    drawn = burned("MUSTERMANN")
    dataset.add_new(0x60000010, "US", SIZE[0])
    dataset.add_new(0x60000011, "US", SIZE[1])
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OW", pack_bits((drawn > 127).astype(np.uint8)))
    dataset.IconImageSequence = Sequence([image(burned("PAT-4711-X")[np.newaxis])])
    assert look(dataset) == {
        ("overlay (6000,3000)", line["name"]),
        ("(0088,0200)[1]/pixels", line["id"]),
    }


@needs_ocr
def test_a_clean_picture_holds_nothing(look):
    """Marks that every scanner draws are nobody's name."""
    assert look(image(burned("R  KV 120  SLEEPING")[np.newaxis])) == set()


def test_pixels_that_cannot_be_decoded_are_a_gap(identity, part10, tmp_path):
    """Where a codec refuses, the scan says so instead of calling the object clean."""
    dataset = image(np.zeros((1, *SIZE), np.uint8))
    dataset.BitsAllocated = 7
    file = tmp_path / "object.dcm"
    file.write_bytes(part10(dataset))
    scanner = Scanner(wanted.read(identity.encode()), lambda _: [])
    (gap,) = scanner.scan(Listed(file, tmp_path))
    assert isinstance(gap, Gap)
    assert gap.where == "pixels"


def test_renderings_use_the_whole_range():
    """A frame of any type becomes 8 bits over its own range, and its inverse."""
    frame = np.array([[-1000, 0], [1000, 3000]], np.int16)
    bright, inverted = pixels.renderings(frame)
    assert (bright.min(), bright.max()) == (0, 255)
    assert np.array_equal(bright, 255 - inverted)
    assert bright.shape == (4, 4, 3)


def test_a_missing_package_is_named(monkeypatch):
    """Without the package the fault says how to install it."""
    monkeypatch.setitem(__import__("sys").modules, "rapidocr_onnxruntime", None)
    with pytest.raises(pixels.NoOcr, match="penumbra-node"):
        pixels.load_reader()


def compressed(dataset: Dataset, syntax: str) -> Dataset:
    """Compress an image's frames, as pydicom or Pillow do."""
    if syntax == JPEGBaseline8Bit:
        frames = []
        for frame in dataset.pixel_array.reshape(-1, *SIZE):
            target = io.BytesIO()
            Image.fromarray(frame).save(target, "JPEG", quality=90)
            frames.append(target.getvalue())
        dataset.PixelData = encapsulate(frames)
        dataset["PixelData"].is_undefined_length = True
    else:
        dataset.compress(syntax, generate_instance_uid=False)
    return dataset


@needs_ocr
@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGBaseline8Bit, JPEGLSLossless, JPEG2000Lossless], ids=str
)
def test_text_in_a_compressed_frame_is_found(look, line, part10, syntax):
    """Each frame is decoded first, whatever it is compressed with."""
    dataset = image(np.stack([np.zeros(SIZE, np.uint8), burned("PAT-4711-X")]))
    raw = part10(dataset)
    packed = compressed(pydicom.dcmread(io.BytesIO(raw)), syntax)
    assert ("pixels, frame 2", line["id"]) in look(packed, syntax=syntax)
