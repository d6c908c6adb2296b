"""Say what cleaning pixels takes: CPU time for each step of one 512 x 512 frame, in one process.

    python -m bench.deid.pixels

Each figure is the least of several runs: what the work takes, not what else the machine does.
"""

import io
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from deid.pixels import cells, codecs, ocr
from deid.pixels.image import Array, Image

SIDE = 512
RUNS = 5
SYNTAXES = (ExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1, JPEGLSLossless)
LINES = "DOE^JANE\nID 4711-0815\nST. ELSEWHERE"


def about(syntax: str, bits: int = 12) -> Image:
    """Describe a grey frame."""
    return Image(
        syntax=syntax,
        rows=SIDE,
        columns=SIDE,
        frames=1,
        samples=1,
        photometric="MONOCHROME2",
        planar=0,
        bits_allocated=8 if bits == 8 else 16,
        bits_stored=bits,
        high_bit=bits - 1,
        signed=False,
        little=True,
        swapped=False,
    )


def body() -> Array:
    """Draw a slice of twelve bits with some noise, (y, x)."""
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = ((y - 256) / 215) ** 2 + ((x - 256) / 190) ** 2 < 1
    shade = np.where(inside, 1000 + 300 * np.sin(x / 23) + 300 * np.cos(y / 31), 40)
    noise = np.random.default_rng(1).normal(0, 12, shade.shape)
    return (shade + noise).clip(0, 4095).astype("u2")


def marked(frame: Array) -> Array:
    """Write three lines into the corner of a frame."""
    sheet = Picture.new("L", (SIDE, SIDE))
    font = ImageFont.load_default(16)
    ImageDraw.Draw(sheet).multiline_text((10, 10), LINES, fill=255, font=font)
    frame = frame.copy()
    frame[np.asarray(sheet) > 127] = 4095
    return frame


def least_ms(step: Callable[[], object]) -> float:
    """Give the least CPU time of several runs."""
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return min(times) * 1000


def blank(frame: Array) -> None:
    """Blank a banner as the cleaner does."""
    image = about(ExplicitVRLittleEndian)
    dark = cells.black(frame, cells.values(frame, image), image, "MONOCHROME2")
    frame[:70, :180] = dark


def figures() -> Iterator[tuple[str, float]]:
    """Measure one step after another."""
    plain = about(ExplicitVRLittleEndian)
    frame, text = body(), marked(body())
    yield "read by OCR, no text", least_ms(lambda: ocr.read(frame, plain, "MONOCHROME2"))
    yield "read by OCR, three lines", least_ms(lambda: ocr.read(text, plain, "MONOCHROME2"))
    yield "blank one box", least_ms(lambda: blank(text.copy()))
    for syntax in (*SYNTAXES, JPEG2000Lossless):
        image = about(syntax)
        row = codecs.codec(image)
        assert row.encode is not None
        stream = row.encode(text, "MONOCHROME2", text.tobytes(), image)
        yield from coded(stream, image)
    target = io.BytesIO()
    Picture.fromarray((text >> 4).astype("u1")).save(target, "JPEG", quality=92)
    yield from coded(target.getvalue(), about(JPEGBaseline8Bit, 8))


def coded(stream: bytes, image: Image) -> Iterator[tuple[str, float]]:
    """Measure a codec."""
    frame = codecs.decode(stream, image)
    name = UID(image.syntax).name
    yield f"decode {name}", least_ms(lambda: codecs.decode(stream, image))
    again = "encode, and decode again to compare:"
    yield f"{again} {name}", least_ms(lambda: codecs.encode(frame, stream, image))


if __name__ == "__main__":
    for what, took_ms in figures():
        print(f"{took_ms:8.1f} ms  {what}")
