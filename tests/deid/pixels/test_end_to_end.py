"""The whole engine on objects with a name burned in: another reader finds it before, not after."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from config.profiles import Profile as Settings
from config.shapes import Secret
from deid.apply import deidentify
from deid.profile import compile_profile
from deid.scan import pixels as scan
from dicom.errors import NotClean

ROWS, COLUMNS = 200, 240
NAME = "MUSTERMANN"
DCM2PNM = {
    JPEGLSLossless: ("dcml2pnm",),
    JPEG2000Lossless: (),
}
"""DCMTK's converters by transfer syntax; it has none for JPEG 2000."""
pytestmark = pytest.mark.usefixtures("needs_ocr", "needs_gdcm")


@pytest.fixture(scope="module")
def teaching():
    table = {"base": "teaching", "key": Secret(env="UNUSED")}
    return compile_profile("teaching", Settings.model_validate(table), bytes(range(32)))


@pytest.fixture(scope="module")
def look():
    """Read every frame, by the scanner that shares no code with the engine."""
    reader = scan.load_reader()

    def _look(part10, most=None, ways=slice(None)):
        lines = []
        found = scan.pictures(pydicom.dcmread(io.BytesIO(part10)), io.BytesIO(part10), most)
        for picture in found:
            assert isinstance(picture, scan.Picture), picture
            lines += [line for each in picture.renderings[ways] for line in reader(each)]
        return " ".join(lines).upper()

    return _look


@pytest.fixture
def shown(make):
    """Frames (frame, y, x[, sample]) of a phantom with a name in each, as stored."""

    def _shown(photometric="MONOCHROME2", bits=8, signed=False, count=1):
        top = (1 << bits) - 1
        body = make.phantom(ROWS, COLUMNS, top * 0.5)
        frames = np.stack([np.roll(body, 7 * number, axis=1) for number in range(count)])
        frames[:, make.written(ROWS, COLUMNS, NAME, 24, (30, 130))] = top
        if photometric == "MONOCHROME1":
            frames = top - frames
        if photometric == "PALETTE COLOR":
            frames = (frames + 77) % 256
        if photometric.startswith(("RGB", "YBR")):
            others = (frames * 3 // 4, frames // 2) if photometric == "RGB" else (128, 128)
            frames = np.stack([frames, *(np.broadcast_to(o, frames.shape) for o in others)], -1)
        return frames - (1 << (bits - 1)) * signed

    return _shown


def palette():
    """A grey palette that begins at entry 77 and goes round."""
    grey = (np.roll(np.arange(256), 77) * 257).astype("<u2").tobytes()
    colours = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    descriptors = {f"{each}Descriptor": [256, 0, 16] for each in colours}
    return descriptors | {f"{each}Data": grey for each in colours}


def by_pillow(frames, kind, **options):
    encoded = []
    for frame in frames:
        target = io.BytesIO()
        mode = "L" if frame.ndim == 2 else options.get("mode", "RGB")
        picture = Picture.frombytes(mode, frame.shape[1::-1], frame.astype("u1").tobytes())
        given = {key: each for key, each in options.items() if key != "mode"}
        picture.save(target, kind, **given)
        encoded.append(target.getvalue())
    return encoded


CASES = {
    "native, signed": (ExplicitVRLittleEndian, "MONOCHROME2", 12, True, 1),
    "native, big endian, MONOCHROME1": (ExplicitVRBigEndian, "MONOCHROME1", 16, False, 1),
    "native, YBR": (ExplicitVRLittleEndian, "YBR_FULL", 8, False, 1),
    "RLE, PALETTE": (RLELossless, "PALETTE COLOR", 8, False, 1),
    "JPEG, YBR": (JPEGBaseline8Bit, "YBR_FULL_422", 8, False, 1),
    "JPEG lossless, signed": (JPEGLosslessSV1, "MONOCHROME2", 16, True, 1),
    "JPEG-LS, RGB": (JPEGLSLossless, "RGB", 8, False, 1),
    "JPEG 2000, RCT, two frames": (JPEG2000Lossless, "YBR_RCT", 8, False, 2),
}


@pytest.fixture
def burned(make, shown):
    """An object with a name in its pixels."""

    def _burned(syntax, photometric, bits, signed, count):
        space = "RGB" if photometric == "YBR_RCT" else photometric
        frames = shown(space, bits, signed, count)
        recipe = make.Recipe(photometric=photometric, bits=bits, signed=signed, syntax=syntax)
        named = {"PatientName": NAME, "PatientID": "4711", "Modality": "OT"}
        more = named | (palette() if photometric == "PALETTE COLOR" else {})
        if photometric == "YBR_RCT":
            encoded = by_pillow(frames, "JPEG2000", no_jp2=True, mct=1)
        elif syntax == JPEGBaseline8Bit:
            encoded = by_pillow(frames, "JPEG", quality=90, subsampling=1, mode="YCbCr")
            more["LossyImageCompression"] = "01"
        else:
            return native(frames, recipe, more)
        return make.build(frames, recipe, encoded, **more)

    def native(frames, recipe, more):
        syntax, recipe.syntax = recipe.syntax, ExplicitVRLittleEndian
        part10 = make.build(frames, recipe, **more)
        dataset = pydicom.dcmread(io.BytesIO(part10))
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = frames.astype(">u2").tobytes()
        elif syntax == JPEGLosslessSV1:
            dataset.PixelData = pydicom.encaps.encapsulate(lossless(part10, make, frames))
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
        elif syntax != ExplicitVRLittleEndian:
            dataset.compress(syntax, generate_instance_uid=False)
        return make.save(dataset, syntax)

    return _burned


def lossless(part10, make, frames):
    """Encode by GDCM: nothing else here writes JPEG lossless."""
    from deid.pixels import gdcm_encoder, image

    elements, opened = make.taken_apart(part10)
    pixels = next(each for each in elements if each.tag == 0x7FE0_0010)
    facts = image.read(elements, opened.encoding, pixels, JPEGLosslessSV1)
    return [
        gdcm_encoder.encode(each.astype("i2"), facts, "MONOCHROME2", JPEGLosslessSV1)
        for each in frames
    ]


@pytest.mark.p4
@pytest.mark.parametrize("case", CASES)
def test_a_burned_in_name_is_gone(burned, teaching, look, tmp_path, case):
    """In each syntax and colour space the name goes from the pixels, and others open the file."""
    part10 = burned(*CASES[case])
    assert NAME in look(part10, most=1, ways=slice(1))
    done = deidentify(part10, teaching)
    output = b"".join(done.chunks)
    seen = look(output)
    assert not any(NAME[start : start + 3] in seen for start in range(len(NAME) - 2))
    assert NAME not in str(done.account).upper()
    before, after = (pydicom.dcmread(io.BytesIO(each)) for each in (part10, output))
    assert after.BurnedInAnnotation == "NO"
    assert "113101" in [code.CodeValue for code in after.DeidentificationMethodCodeSequence]
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID
    assert after.pixel_array.shape == before.pixel_array.shape
    assert after.get("LossyImageCompression") == before.get("LossyImageCompression")
    opens_with_dcmtk(output, CASES[case][0], tmp_path)


def opens_with_dcmtk(output, syntax, folder):
    """Let DCMTK dump the file and show its first frame; where it is not installed, do nothing."""
    file = folder / "out.dcm"
    file.write_bytes(output)
    dump = ("dcmdump", "-q", str(file))
    show = [
        (tool, str(file), str(folder / "out.pgm")) for tool in DCM2PNM.get(syntax, ("dcmj2pnm",))
    ]
    for command in (dump, *show):
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, timeout=30, check=False)
            assert done.returncode == 0, done.stderr
            assert not done.stderr, done.stderr


@pytest.mark.p4
def test_text_that_cannot_be_written_over_is_held(make, shown, teaching):
    """HTJ2K can be read but not written here: an object with text in it never leaves."""
    frames = shown()
    # What reads HTJ2K reads plain JPEG 2000 as well, and there is nothing to write HTJ2K with.
    streams = by_pillow(frames, "JPEG2000", no_jp2=True)
    part10 = make.build(frames, make.Recipe(syntax=HTJ2KLossless), streams)
    with pytest.raises(NotClean, match="no encoder for"):
        deidentify(part10, teaching)


@pytest.mark.p4
def test_a_screen_of_a_real_device_is_cleaned(make, teaching):
    """Of a real ultrasound screen all that lies outside of its regions goes; its image stays."""
    from pydicom.data import get_testdata_file

    file = get_testdata_file("OBXXXX1A_rle.dcm", download=False)
    assert file, "pydicom-data is not installed: pip install penumbra-node[test]"
    part10 = Path(file).read_bytes()
    done = deidentify(part10, teaching)
    output = b"".join(done.chunks)
    before, after = make.original(part10), make.original(output)
    shown = pydicom.dcmread(file).SequenceOfUltrasoundRegions
    outside = np.ones(before.shape, bool)
    for each in shown:
        x0, y0 = each.RegionLocationMinX0, each.RegionLocationMinY0
        outside[:, y0 : each.RegionLocationMaxY1 + 1, x0 : each.RegionLocationMaxX1 + 1] = False
    assert len(np.unique(after[outside])) == 1
    assert (before[:, 110:150, 360:560] == after[:, 110:150, 360:560]).all()
    assert any("'ultrasound regions'" in words for _, words in done.account)
