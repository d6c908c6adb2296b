"""Every transfer syntax that can be written: blanked in its codec, all else as it was."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image as Picture
from pydicom.encaps import generate_fragmented_frames
from pydicom.pixels import get_decoder, get_encoder
from pydicom.uid import (
    JPEG2000,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from deid.pixels import codecs
from dicom.errors import NotClean

ROWS, COLUMNS = 96, 144
LOSSLESS = [RLELossless, JPEGLSLossless]
KINDS = [
    ("MONOCHROME2", 8, False),
    ("MONOCHROME1", 8, False),
    ("MONOCHROME2", 12, False),
    ("MONOCHROME2", 12, True),
    ("MONOCHROME2", 16, True),
    ("RGB", 8, False),
]


@pytest.fixture
def pictures(make):
    """Frames (frame, y, x[, sample]) of which the second alone shows text, in white."""

    def _pictures(photometric="MONOCHROME2", bits=8, signed=False, count=3):
        low = -(1 << (bits - 1)) if signed else 0
        top = (1 << bits) - 1
        body = make.phantom(ROWS, COLUMNS, top * 0.6).clip(0, int(top * 0.9))
        frames = np.stack([np.roll(body, 5 * number, axis=0) for number in range(count)])
        # Where the text stands frames differ, so that blanking changes each of them.
        frames[1][make.written(ROWS, COLUMNS, "DOE^JANE", 18, (20, 12))] = top
        if photometric in {"RGB", "YBR_FULL", "YBR_FULL_422"}:
            colours = np.stack([frames, frames * 3 // 4, frames // 2], axis=-1)
            colours[frames == top] = top
            frames = colours
            if photometric != "RGB":
                frames[..., 1:] = 128
        if photometric == "MONOCHROME1":
            frames = top - frames
        return frames + low

    return _pictures


@pytest.fixture
def compressed(make, pictures):
    """Write an object in a transfer syntax that pydicom can encode."""

    def _compressed(syntax, photometric="MONOCHROME2", bits=8, signed=False, **options):
        recipe = make.Recipe(photometric=photometric, bits=bits, signed=signed)
        native = make.build(pictures(photometric, bits, signed), recipe)
        dataset = pydicom.dcmread(io.BytesIO(native))
        dataset.compress(syntax, generate_instance_uid=False, **options)
        return make.save(dataset, syntax)

    return _compressed


def fragments(part10):
    dataset = pydicom.dcmread(io.BytesIO(part10))
    count = int(dataset.get("NumberOfFrames", 1))
    return [
        b"".join(f) for f in generate_fragmented_frames(dataset.PixelData, number_of_frames=count)
    ]


def check_exact(make, run, part10):
    """Clean; outside of what was blanked each frame is what it was, inside it is one colour."""
    cleaned = run(part10)
    before, after = make.original(part10), make.decoded(make.put_back(part10, cleaned))
    differs = (before != after).reshape(*before.shape[:3], -1).any(axis=(0, 3))
    rows, columns = np.nonzero(differs)
    assert rows.max() < 48
    assert columns.max() < 130
    strokes = make.written(ROWS, COLUMNS, "DOE^JANE", 18, (20, 12))
    for now in after:
        assert len(np.unique(now[strokes].reshape(strokes.sum(), -1), axis=0)) == 1
    assert cleaned.boxes_per_frame == (1, 1, 1)
    return cleaned


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.name)
@pytest.mark.parametrize("kind", KINDS)
def test_lossless_syntaxes_lose_nothing(make, run, compressed, syntax, kind):
    """Whatever the samples are, what is outside of a box comes back exactly."""
    cleaned = check_exact(make, run, compressed(syntax, *kind))
    assert 0x0028_2110 not in cleaned.attributes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "syntax",
    [JPEGLossless, JPEGLosslessSV1, JPEG2000Lossless, JPEG2000],
    ids=lambda uid: uid.name,
)
@pytest.mark.usefixtures("needs_gdcm")
def test_what_gdcm_writes_loses_nothing(make, run, pictures, syntax, kind):
    """JPEG lossless and JPEG 2000 are written by GDCM, and read by pydicom as what they were."""
    from deid.pixels import gdcm_encoder
    from deid.pixels.image import read

    photometric, bits, signed = kind
    recipe = make.Recipe(photometric=photometric, bits=bits, signed=signed)
    frames = pictures(photometric, bits, signed)
    elements, opened = make.taken_apart(make.build(frames, recipe))
    pixels = next(each for each in elements if each.tag == 0x7FE0_0010)
    image = read(elements, opened.encoding, pixels, syntax)
    kind = f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}"
    encoded = [
        gdcm_encoder.encode(frame.astype(kind), image, photometric, syntax) for frame in frames
    ]
    recipe.syntax = syntax
    part10 = make.build(frames, recipe, encoded)
    assert (make.original(part10) == frames).all()
    check_exact(make, run, part10)


@pytest.mark.usefixtures("needs_gdcm")
@pytest.mark.parametrize(
    "syntax", [JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.name
)
def test_a_palette_is_no_matter_of_the_codec(make, run, pictures, syntax):
    """Indices of a palette are written as grey is, and no codec asks for the palette."""
    from deid.pixels import gdcm_encoder
    from deid.pixels.image import read

    frames = pictures()
    recipe = make.Recipe(photometric="PALETTE COLOR")
    grey = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (
            ("Descriptor", [256, 0, 16]),
            ("Data", (np.arange(256) * 257).astype("<u2").tobytes()),
        )
    }
    native = make.build(frames, recipe, **grey)
    if syntax == JPEGLSLossless:
        dataset = pydicom.dcmread(io.BytesIO(native))
        dataset.compress(syntax, generate_instance_uid=False)
        check_exact(make, run, make.save(dataset, syntax))
        return
    elements, opened = make.taken_apart(native)
    pixels = next(each for each in elements if each.tag == 0x7FE0_0010)
    image = read(elements, opened.encoding, pixels, syntax)
    encoded = [
        gdcm_encoder.encode(frame.astype("u1"), image, "PALETTE COLOR", syntax) for frame in frames
    ]
    recipe.syntax = syntax
    check_exact(make, run, make.build(frames, recipe, encoded, **grey))


def test_high_bit_says_nothing_of_a_stream(make, run, compressed):
    """A stream holds values: a HighBit that shifts cells does not shift what is blanked."""
    part10 = compressed(JPEGLSLossless, "MONOCHROME2", 12)
    dataset = pydicom.dcmread(io.BytesIO(part10))
    dataset.HighBit = 15
    cleaned = run(make.save(dataset, JPEGLSLossless))
    after = make.decoded(make.put_back(part10, cleaned))
    strokes = make.written(ROWS, COLUMNS, "DOE^JANE", 18, (20, 12))
    for before, now in zip(make.original(part10), after, strict=True):
        assert (now[strokes] == before.min()).all()


def test_signed_jpeg_is_refused(make, run, pictures):
    """JPEG knows no sign; what calls itself signed would be shown with its values torn apart."""
    frames = pictures()
    recipe = make.Recipe(syntax=JPEGBaseline8Bit)
    part10 = make.build(frames, recipe, jpeg_frames(frames, "MONOCHROME2"), PixelRepresentation=1)
    with pytest.raises(NotClean, match="signed"):
        run(part10)


def test_near_lossless_loses_nothing_more(make, run, compressed):
    """What was compressed with a small error is written again without another."""
    part10 = compressed(JPEGLSNearLossless, jls_error=2)
    check_exact(make, run, part10)


def jpeg_frames(frames, photometric):
    """Encode by Pillow: grey, YBR with halved colours, or RGB as it is."""
    mode = {"RGB": "RGB", "YBR_FULL_422": "YCbCr"}.get(photometric, "L")
    encoded = []
    for frame in frames:
        target = io.BytesIO()
        picture = Picture.frombytes(mode, frame.shape[1::-1], frame.astype("u1").tobytes())
        picture.save(
            target,
            "JPEG",
            quality=92,
            subsampling=1 if mode == "YCbCr" else -1,
            keep_rgb=mode == "RGB",
        )
        encoded.append(target.getvalue())
    return encoded


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit], ids=lambda uid: uid.name)
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1", "YBR_FULL_422", "RGB"])
def test_jpeg_is_blanked_with_the_same_tables(make, run, pictures, syntax, photometric):
    """A JPEG frame is written with its own tables: far from a box next to nothing is lost."""
    frames = pictures(photometric)
    recipe = make.Recipe(photometric=photometric, syntax=syntax)
    part10 = make.build(
        frames,
        recipe,
        jpeg_frames(frames, photometric),
        LossyImageCompression="01",
        LossyImageCompressionRatio=["7.5"],
        LossyImageCompressionMethod=["ISO_10918_1"],
    )
    cleaned = run(part10)
    output = make.put_back(part10, cleaned)
    before, after = make.original(part10), make.decoded(output)
    assert np.abs(before[:, 56:].astype(int) - after[:, 56:].astype(int)).max() <= 3
    strokes = make.written(ROWS, COLUMNS, "DOE^JANE", 18, (20, 12))
    light = after if after.ndim == 3 else after[..., 0]
    dark = np.where(photometric == "MONOCHROME1", 255 - light.astype(int), light)
    assert all(frame[strokes].max() < 60 for frame in dark)
    assert all(frame[strokes].std() < 4 for frame in dark)
    tables = [Picture.open(io.BytesIO(each)).quantization for each in fragments(part10)]
    saved = make.save(output, syntax)
    assert [Picture.open(io.BytesIO(each)).quantization for each in fragments(saved)] == tables


def test_loss_is_told(make, run, pictures):
    """An object compressed with loss once more says so, behind what it said before."""
    frames = pictures("MONOCHROME2")
    recipe = make.Recipe(syntax=JPEGBaseline8Bit)
    lossy = {
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": ["7.5"],
        "LossyImageCompressionMethod": ["ISO_10918_1"],
    }
    part10 = make.build(frames, recipe, jpeg_frames(frames, "MONOCHROME2"), **lossy)
    output = make.put_back(part10, run(part10))
    assert output.LossyImageCompression == "01"
    assert list(output.LossyImageCompressionMethod) == ["ISO_10918_1"] * 2
    first, second = output.LossyImageCompressionRatio
    assert first == 7.5
    assert 2 < second < 60
    bare = make.build(frames, recipe, jpeg_frames(frames, "MONOCHROME2"))
    assert make.put_back(bare, run(bare)).LossyImageCompressionMethod == "ISO_10918_1"


def test_frames_in_which_nothing_changes_keep_their_bytes(make, run, pictures):
    """Of a JPEG only frames that change are compressed again; the others stay as they are."""
    frames = pictures("MONOCHROME2")
    dark = int(frames.min())
    frames[0, :56] = frames[2, :56] = dark
    part10 = make.build(
        frames,
        make.Recipe(syntax=RLELossless),
        [
            get_encoder(RLELossless).encode(
                frame.astype("u1"),
                rows=ROWS,
                columns=COLUMNS,
                number_of_frames=1,
                samples_per_pixel=1,
                bits_allocated=8,
                bits_stored=8,
                pixel_representation=0,
                photometric_interpretation="MONOCHROME2",
            )
            for frame in frames
        ],
    )
    cleaned = run(part10)
    assert cleaned.boxes_per_frame == (0, 1, 0)
    before = fragments(part10)
    after = fragments(make.save(make.put_back(part10, cleaned), RLELossless))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_nothing_found_leaves_the_stream_untouched(make, run, compressed):
    """A compressed object without text is the same to the last byte, its table included."""
    part10 = compressed(JPEGLSLossless)
    cleaned = run(part10, reader=lambda *_: ())
    (value,) = cleaned.chunks
    assert bytes(value[:-8]) == pydicom.dcmread(io.BytesIO(part10)).PixelData


@pytest.mark.usefixtures("needs_gdcm")
@pytest.mark.parametrize(
    ("syntax", "photometric"), [(JPEG2000, "YBR_ICT"), (JPEG2000Lossless, "YBR_RCT")]
)
def test_transformed_colours_are_written_as_what_they_are(make, run, pictures, syntax, photometric):
    """Colours that JPEG 2000 transformed become RGB in every frame, and the object says so."""
    frames = pictures("RGB")
    encoded = []
    for frame in frames:
        target = io.BytesIO()
        options = {"irreversible": True, "quality_layers": [5]} if syntax == JPEG2000 else {}
        Picture.fromarray(frame.astype("u1")).save(
            target, "JPEG2000", no_jp2=True, mct=1, **options
        )
        encoded.append(target.getvalue())
    recipe = make.Recipe(photometric=photometric, syntax=syntax)
    part10 = make.build(frames, recipe, encoded)
    cleaned = run(part10)
    assert cleaned.attributes[0x0028_0004] == ("CS", b"RGB")
    before, after = make.original(part10), make.decoded(make.put_back(part10, cleaned))
    assert (before[:, 56:] == after[:, 56:]).all()
    assert run(part10, reader=lambda *_: ()).attributes.keys() == {0x0028_0301}


def test_a_codec_that_refuses_is_told(make, run, pictures):
    """A stream that its decoder refuses is not passed, and the words name the transfer syntax."""
    recipe = make.Recipe(syntax=JPEGBaseline8Bit)
    broken = [b"\xff\xd8\xff\xe0 no jpeg at all"] * 3
    with pytest.raises(NotClean, match=r"JPEG Baseline.*cannot be read"):
        run(make.build(pictures(), recipe, broken))


def test_a_stream_of_another_size_is_refused(make, run, pictures):
    """A stream larger than the dataset says has pixels that nobody would look at."""
    recipe = make.Recipe(syntax=JPEGBaseline8Bit)
    larger = jpeg_frames(np.pad(pictures(), ((0, 0), (0, 8), (0, 0))), "MONOCHROME2")
    with pytest.raises(NotClean, match="cannot be read"):
        run(make.build(pictures(), recipe, larger))


def test_text_in_what_cannot_be_written_is_refused(make, run, monkeypatch, compressed):
    """Where there is no encoder, text keeps the object back; without any it passes."""
    part10 = compressed(JPEGLSLossless)
    row = codecs.CODECS[JPEGLSLossless]
    read_only = codecs.Codec(row.decode, None)
    monkeypatch.setitem(codecs.CODECS, JPEGLSLossless, read_only)
    with pytest.raises(NotClean, match="cannot be blanked"):
        run(part10)
    assert run(part10, reader=lambda *_: ()).boxes_per_frame == (0, 0, 0)


def test_an_encoder_that_lies_is_found_out(make, run, monkeypatch, compressed):
    """What was written is read again: an encoder that changes pixels is not believed."""
    part10 = compressed(RLELossless)
    row = codecs.CODECS[RLELossless]

    def lying(cells, photometric, original, image):
        wrong = cells.copy()
        wrong[-1, -1] ^= 1
        return row.encode(wrong, photometric, original, image)

    monkeypatch.setitem(
        codecs.CODECS, RLELossless, codecs.Codec(row.decode, lying, gives_cells=True)
    )
    with pytest.raises(NotClean, match="changed what it was given"):
        run(part10)


def test_every_row_reads_what_pydicom_knows():
    """No row names a transfer syntax that pydicom has no decoder for."""
    for uid in codecs.CODECS:
        assert get_decoder(uid)
    assert codecs.CODECS[HTJ2KLossless].encode is None
