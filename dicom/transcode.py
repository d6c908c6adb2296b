"""Give an object in a transfer syntax that a peer takes, without losing anything of it.

Native objects are written anew with other headers; compressed ones are decoded, frame by frame,
by whichever codec is installed. Nothing is ever compressed. What was lossy before stays as lossy,
and the attributes that say so stay as they are (PS3.3 C.7.6.1.1.5).
"""

import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import Decoder, get_decoder
from pydicom.uid import UID

from dicom.codestream import precision_bits
from dicom.encoding import BIG_ENDIAN, DEFLATED, IMPLICIT
from dicom.entity import Arrival
from dicom.errors import CannotUnderstand, Refused
from dicom.native import PIXEL_DATA, Native, Piece, Replaced
from dicom.part10 import file_meta

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"
NATIVE: Final = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, BIG_ENDIAN, _DEFLATED})
_MOST_BYTES: Final = 1 << 31
"""An object that would take more memory when it is made native is refused."""
_NATIVE_COLOURS: Final = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL"}
)
"""What native pixels of full resolution may be in (PS3.3 C.7.6.3.1.2, PS3.5 8.2)."""
_PHOTOMETRIC: Final = 0x0028_0004
_PLANAR: Final = 0x0028_0006


@lru_cache(256)
def substitutes(transfer_syntax_uid: str) -> tuple[str, ...]:
    """List the transfer syntaxes that an object can be given in instead, best first.

    Explicit VR keeps the VRs of private attributes; implicit VR is what every peer takes (PS3.5
    10.1). Video, and pixels that lie elsewhere, have none; nor has what no codec here decodes.
    """
    if transfer_syntax_uid in NATIVE or _has_decoder(transfer_syntax_uid):
        both = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
        return tuple(one for one in both if one != transfer_syntax_uid)
    return ()


def name(transfer_syntax_uid: str) -> str:
    """Give the standard's name of a transfer syntax, the UID where it has none."""
    return UID(transfer_syntax_uid).name


def transcode(
    part10: Sequence[Piece],
    dataset: Sequence[memoryview],
    source: tuple[str, str, str],
    transfer_syntax_uid: str,
) -> list[Piece]:
    """Make a Part 10 file in one of the `substitutes` of an object's own transfer syntax.

    `part10` is the whole object, `dataset` its encoded dataset; `source` its SOP class, SOP
    Instance UID and transfer syntax. Raises Refused, with the reason, where it cannot be made.
    """
    sop_class_uid, sop_instance_uid, own_syntax = source
    try:
        view = _whole(dataset)
        replaced = None
        if own_syntax in DEFLATED:
            view = _inflated(view)
        elif own_syntax not in NATIVE:
            replaced = _decoded(b"".join(part10))
        explicit = transfer_syntax_uid not in IMPLICIT
        pieces = Native(view, own_syntax, explicit=explicit, replaced=replaced).pieces()
        meta = file_meta(
            Arrival(sop_class_uid, sop_instance_uid, transfer_syntax_uid, "", "", "", "", 0.0)
        )
        return [meta, *_gathered(pieces)]
    except CannotUnderstand as fault:
        raise Refused(
            f"{sop_instance_uid} cannot be given in {name(transfer_syntax_uid)}: {fault}"
        ) from fault


def _whole(views: Sequence[memoryview]) -> memoryview:
    return views[0] if len(views) == 1 else memoryview(b"".join(views))


def _inflated(data: memoryview) -> memoryview:
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflating.decompress(data, _MOST_BYTES)
    except zlib.error as fault:
        raise CannotUnderstand("the deflated dataset cannot be inflated") from fault
    if inflating.unconsumed_tail:
        raise _too_large()
    if not inflating.eof:
        raise CannotUnderstand("the deflated dataset breaks off")
    return memoryview(inflated)


def _gathered(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Join what is small, so that few pieces are left; large values stay views."""
    small = bytearray()
    for piece in pieces:
        if len(piece) < 1 << 16:
            small += piece
            continue
        if small:
            yield bytes(small)
            small.clear()
        yield piece
    if small:
        yield bytes(small)


def _has_decoder(transfer_syntax_uid: str) -> bool:
    try:
        return bool(get_decoder(UID(transfer_syntax_uid)).is_available)
    except (NotImplementedError, ValueError):
        return False


def _decoded(part10: bytes) -> Replaced:
    """Decode the pixels of a compressed object. Raises CannotUnderstand."""
    try:
        dataset = dcmread(io.BytesIO(part10))
        if "PixelData" not in dataset:
            return {}
        return _frames(dataset)
    except CannotUnderstand:
        raise
    except Exception as fault:  # pydicom and its codecs raise many kinds on what they dislike
        words = f"its pixels cannot be decoded here ({type(fault).__name__})"
        raise CannotUnderstand(words) from fault


def _frames(dataset: Dataset) -> Replaced:
    allocated = int(dataset.BitsAllocated)
    if _native_bytes(dataset) > _MOST_BYTES:
        raise _too_large()
    _require_room(dataset, allocated)
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    letter = "i" if dataset.get("PixelRepresentation") else "u"
    frames: list[Piece] = []
    photometric = str(dataset.PhotometricInterpretation)
    # raw: colours stay in the space they are in, but for what the codec itself takes back.
    for array, found in _arrays(decoder, dataset):
        photometric = str(found["photometric_interpretation"])
        frames.append(array.astype(f"<{letter}{allocated // 8}", copy=False).tobytes())
    if photometric == "YBR_FULL_422":
        photometric = "YBR_FULL"  # decoded, every pixel has its own colour (PS3.3 C.7.6.3.1.2)
    if photometric not in _NATIVE_COLOURS:
        raise CannotUnderstand(f"native pixels cannot be in {photometric}")
    value = photometric.encode("ascii")
    replaced: dict[int, tuple[bytes, Sequence[Piece]]] = {
        _PHOTOMETRIC: (b"CS", [value + b" " * (len(value) % 2)]),
        PIXEL_DATA: (b"OB" if allocated == 8 else b"OW", frames),
    }
    if int(dataset.SamplesPerPixel) > 1:
        replaced[_PLANAR] = (b"US", [b"\0\0"])  # colour by pixel, as arrays have it
    return replaced


def _require_room(dataset: Dataset, allocated: int) -> None:
    """Raise where samples are longer than the dataset says: decoders cut them without a word."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    found = precision_bits(get_frame(dataset.PixelData, 0, number_of_frames=frames))
    if found is not None and found > allocated:
        raise CannotUnderstand(f"its samples have {found} bits, Bits Allocated says {allocated}")


def _arrays(decoder: Decoder, dataset: Dataset) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Decode one frame after another, so that one more than needed is in memory at most."""
    if int(dataset.get("NumberOfFrames") or 1) == 1:
        # iter_array cannot mend the sign of what pylibjpeg gives it, which is read-only.
        yield decoder.as_array(dataset, raw=True)
    else:
        yield from decoder.iter_array(dataset, raw=True)


def _native_bytes(dataset: Dataset) -> int:
    samples = int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel)
    return samples * int(dataset.BitsAllocated) // 8 * int(dataset.get("NumberOfFrames") or 1)


def _too_large() -> CannotUnderstand:
    return CannotUnderstand(f"it would take more than {_MOST_BYTES >> 30} GB when made native")
