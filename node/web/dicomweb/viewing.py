"""Read how somebody wants to see an image, from the query of a request (PS3.18 8.3.5, 9.4.1.2)."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from dicom.errors import CannotUnderstand
from node.web.dicomweb.negotiate import MediaRange, Offer, pick
from node.web.dicomweb.wish import FORMATS, Window, Wish

MOST_SIDE: Final = 8192
"""Columns or rows of a picture."""
THUMBNAIL: Final = 200
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9})")
_FUNCTIONS: Final = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}


def media_type(takes: Sequence[MediaRange], *, multipart: bool = False) -> str | None:
    """Choose the format of pictures, alone or in parts; None where none fits."""
    found = pick(takes, [Offer(one, multipart) for one in FORMATS])
    return found.media_type if found else None


def wish(query: Mapping[str, str], format_: str, *, thumbnail: bool = False) -> Wish:
    """Read `viewport`, `window` and `quality` (PS3.18 8.3.5.1). Raises CannotUnderstand."""
    size, region = _viewport(query.get("viewport", ""))
    if thumbnail and size is None:
        size = (THUMBNAIL, THUMBNAIL)
    return Wish(
        format_, _quality(query, "quality"), size, region, _window(query.get("window", "")),
        enlarge=not thumbnail,
    )  # fmt: skip


def uri_wish(query: Mapping[str, str], format_: str, shape: tuple[int, int]) -> Wish:
    """Read the parameters of WADO-URI; `shape` is (rows, columns). Raises CannotUnderstand."""
    rows, columns = _side(query, "rows"), _side(query, "columns")
    size = (columns or MOST_SIDE, rows or MOST_SIDE) if rows or columns else None
    center, width = query.get("windowCenter", ""), query.get("windowWidth", "")
    if bool(center) != bool(width):
        raise CannotUnderstand("windowCenter and windowWidth belong together")
    window = _window(f"{center},{width}") if center else None
    quality = _quality(query, "imageQuality")
    return Wish(format_, quality, size, _region(query.get("region", ""), shape), window)


def _viewport(
    text: str,
) -> tuple[tuple[int, int] | None, tuple[float, float, float, float] | None]:
    if not text:
        return None, None
    parts = text.split(",")
    if len(parts) not in {2, 6}:
        raise CannotUnderstand("viewport is two numbers, or six")
    columns, rows = (int(_number("viewport", one)) for one in parts[:2])
    if not (1 <= columns <= MOST_SIDE and 1 <= rows <= MOST_SIDE):
        raise CannotUnderstand(f"viewport is from 1 to {MOST_SIDE} pixels on each side")
    if len(parts) == 2:
        return (columns, rows), None
    # A side that is left out is as the image has it; 0 stands for that.
    left, top, width, height = (_number("viewport", one or "0") for one in parts[2:])
    return (columns, rows), (left, top, width, height)


def _window(text: str) -> Window | None:
    if not text:
        return None
    parts = text.split(",")
    if len(parts) not in {2, 3}:
        raise CannotUnderstand("window is a center, a width, and at most a function")
    center, width = (_number("window", one) for one in parts[:2])
    function = _FUNCTIONS.get(parts[2].lower().replace("_", "-") if len(parts) == 3 else "linear")
    if function is None or width <= 0 or (function == "LINEAR" and width < 1):
        raise CannotUnderstand(
            "window has a width above 0 and linear, linear-exact or sigmoid for its function"
        )
    return Window(center, width, function)


def _region(text: str, shape: tuple[int, int]) -> tuple[float, float, float, float] | None:
    if not text:
        return None
    parts = text.split(",")
    if len(parts) != 4:
        raise CannotUnderstand("region is four numbers from 0 to 1")
    left, top, right, bottom = (_number("region", one) for one in parts)
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise CannotUnderstand("region is left, top, right and bottom, from 0 to 1")
    rows, columns = shape
    return left * columns, top * rows, (right - left) * columns, (bottom - top) * rows


def _quality(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "90")
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise CannotUnderstand(f"{name} is a whole number from 1 to 100")
    return int(text)


def _side(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= MOST_SIDE):
        raise CannotUnderstand(f"{name} is a whole number from 1 to {MOST_SIDE}")
    return int(text)


def _number(name: str, text: str) -> float:
    text = text.strip()
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise CannotUnderstand(f"{name} has something else where a number must be")
    return float(text)
