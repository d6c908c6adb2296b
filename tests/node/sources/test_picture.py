"""Pictures become objects that dciodvfy finds no error in, or are refused in words."""

import io
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import get_frame

from config.profiles import Profile
from config.shapes import Secret
from deid.apply import deidentify
from deid.profile import compile_profile
from dicom.capture import Uids, part10
from dicom.errors import CannotUnderstand
from node.sources import picture as pictures
from node.sources import sidecar

UIDS = Uids("2.25.1", "2.25.2", "2.25.3")
SAID = (
    b'{"PatientID": "4711", "PatientName": "M\xc3\xbcller^J\xc3\xb6rg", "as": "%s",'
    b' "Laterality": "L", "PatientOrientation": "L\\\\F", "ImagerPixelSpacing": [0.1, 0.15],'
    b' "BodyPartExamined": "HAND", "StudyDate": "2026-01-02", "ViewPosition": "PA"}'
)


def made(file: bytes, kind: str = "secondary-capture"):
    said = sidecar.read(SAID % kind.encode())
    whole = part10(pictures.read(file), said.model_dump(), UIDS, is_x_ray=kind == "dx")
    return dcmread(io.BytesIO(whole)), whole


def errors(whole: bytes, folder: Path) -> list[str]:
    """What dciodvfy calls an error."""
    (folder / "object.dcm").write_bytes(whole)
    checker = Path(sys.executable).with_name("dciodvfy")  # from the test extra dicom3tools
    done = subprocess.run(
        [checker, "-new", folder / "object.dcm"], capture_output=True, text=True, check=False
    )
    assert "Image" in done.stderr + done.stdout, "dciodvfy said nothing"
    return [line for line in (done.stderr + done.stdout).splitlines() if "Error" in line]


FILES = {
    "png of 16 bits": lambda grey, colour, picture: picture(grey, "PNG"),
    "png of 8 bits": lambda grey, colour, picture: picture((grey >> 8).astype("u1"), "PNG"),
    "png in colour": lambda grey, colour, picture: picture(colour, "PNG"),
    "png with a palette": lambda grey, colour, picture: picture(
        Image.fromarray(colour).convert("P"), "PNG"
    ),
    "png of 1 bit": lambda grey, colour, picture: picture(
        Image.fromarray(colour).convert("1"), "PNG"
    ),
    "grey jpeg": lambda grey, colour, picture: picture((grey >> 8).astype("u1"), "JPEG"),
    "jpeg in colour": lambda grey, colour, picture: picture(colour, "JPEG"),
    "jpeg as RGB": lambda grey, colour, picture: picture(colour, "JPEG", keep_rgb=True),
}


@pytest.fixture
def make(grey, colour, picture):
    """Give the maker of FILES."""
    return lambda name: FILES[name](grey, colour, picture)


KINDS = [
    (name, kind)
    for name in FILES
    for kind in ("secondary-capture", "dx")
    if kind != "dx" or ("colour" not in name and "palette" not in name and "RGB" not in name)
]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_objects_are_valid(make, tmp_path, name, kind):
    """dciodvfy finds no error, whatever the picture and the kind of object."""
    dataset, whole = made(make(name), kind)
    assert errors(whole, tmp_path) == []
    assert str(dataset.PatientName) == "Müller^Jörg"
    assert dataset.SpecificCharacterSet == "ISO_IR 192"


def test_the_check_by_dciodvfy_can_fail(grey, picture, tmp_path):
    """An object without its type 1 attributes has errors."""
    dataset, _ = made(picture(grey, "PNG"))
    del dataset.BitsStored
    out = io.BytesIO()
    dataset.save_as(out)
    assert errors(out.getvalue(), tmp_path)


def test_grey_of_16_bits_keeps_its_bits(grey, picture):
    """Every value of a PNG of 16 bits is in the object."""
    dataset, _ = made(picture(grey, "PNG"))
    assert (dataset.BitsStored, dataset.PhotometricInterpretation) == (16, "MONOCHROME2")
    assert (dataset.pixel_array == grey).all()
    assert dataset.LossyImageCompression == "00"


def test_colour_keeps_its_values(colour, picture):
    """Every value of a PNG in colour is in the object, by pixel."""
    dataset, _ = made(picture(colour, "PNG"))
    assert (dataset.PhotometricInterpretation, dataset.PlanarConfiguration) == ("RGB", 0)
    assert (dataset.pixel_array == colour).all()


@pytest.mark.parametrize(
    ("options", "space"),
    [({}, "YBR_FULL_422"), ({"subsampling": 0}, "YBR_FULL"), ({"keep_rgb": True}, "RGB")],
)
def test_a_jpeg_stays_as_it_is(colour, picture, options, space):
    """The stream is in the object byte for byte, and said to be lossy, how and how much."""
    file = picture(colour, "JPEG", **options)
    dataset, _ = made(file)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    assert frame.rstrip(b"\0") == file.rstrip(b"\0")
    assert dataset.PhotometricInterpretation == space
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionMethod) == (
        "01", "ISO_10918_1",
    )  # fmt: skip
    assert float(dataset.LossyImageCompressionRatio) == pytest.approx(48 * 64 * 3 / len(file), 0.01)
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"


def test_the_same_makes_the_same(grey, picture):
    """No clock and no chance is in an object."""
    file = picture(grey, "PNG")
    assert made(file)[1] == made(file)[1]


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def bomb() -> bytes:
    """A PNG of a few bytes that says that it has 65,000 x 65,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 65_000, 65_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


REFUSED = {
    "alpha": (lambda c, p: p(Image.fromarray(c).convert("RGBA"), "PNG"), "alpha channel"),
    "cmyk": (lambda c, p: p(Image.fromarray(c).convert("CMYK"), "JPEG"), "CMYK"),
    "turned": (lambda c, p: p(c, "JPEG", exif=turned()), "EXIF orientation"),
    "progressive": (lambda c, p: p(c, "JPEG", progressive=True), "not baseline"),
    "cut jpeg": (lambda c, p: p(c, "JPEG")[:-200], "cut"),
    "cut png": (lambda c, p: p(c, "PNG")[:-200], "cut"),
    "gif": (lambda c, p: p(Image.fromarray(c), "GIF"), "no JPEG or PNG"),
    "bomb": (lambda c, p: bomb(), "too large"),
    "wide": (lambda c, p: p(np.zeros((1, 70_000), "u1"), "PNG"), "too large"),
    "nothing": (lambda c, p: b"", "no JPEG or PNG"),
}


@pytest.mark.parametrize(("make", "words"), REFUSED.values(), ids=REFUSED)
def test_what_no_object_can_hold_is_refused(colour, picture, make, words):
    """A picture that would be changed, misread or would burst memory is refused in words."""
    with pytest.raises(CannotUnderstand, match=words):
        pictures.read(make(colour, picture))


@pytest.mark.p4
@pytest.mark.p6
@pytest.mark.parametrize("tail", [b"", b"KANARIE behind the end"])
def test_a_profile_takes_out_what_a_jpeg_says_beside_its_pixels(colour, picture, tail):
    """EXIF, a comment, a colour profile and what stands behind the end do not leave the node."""
    exif = Image.Exif()
    exif[0x010E] = "KANARIE in EXIF"
    beside = {"exif": exif, "comment": b"KANARIE in COM", "icc_profile": b"KANARIE in ICC" * 20}
    file = picture(colour, "JPEG", **({} if tail else beside)) + tail
    said = sidecar.read(b'{"PatientID": "KANARIE", "BurnedInAnnotation": "NO"}')
    whole = part10(pictures.read(file), said.model_dump(), UIDS, is_x_ray=False)
    settings = {"base": "basic", "key": Secret(env="UNUSED")}
    profile = compile_profile("site", Profile.model_validate(settings), bytes(range(32)))
    left = b"".join(deidentify(whole, profile).chunks)
    assert file.count(b"KANARIE") >= (1 if tail else 22)
    assert b"KANARIE" not in left
    assert dcmread(io.BytesIO(left)).pixel_array.shape == (48, 64, 3)


def test_a_spacing_fits_its_field():
    """A length with more digits than a DS has room for is rounded, and is no invalid value."""
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "PNG")
    said = json.loads(SAID % b"dx") | {"ImagerPixelSpacing": [0.12345678901234567, 1.1e-300]}
    facts = sidecar.read(json.dumps(said).encode()).model_dump()
    dataset = dcmread(io.BytesIO(part10(pictures.read(out.getvalue()), facts, UIDS, is_x_ray=True)))
    assert [str(each) for each in dataset.ImagerPixelSpacing] == ["0.123456789", "1.1e-300"]
