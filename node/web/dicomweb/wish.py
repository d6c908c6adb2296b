"""How somebody wants to see a frame: plain facts, so that whoever reads them loads no codec."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

JPEG: Final = "image/jpeg"
FORMATS: Final[Mapping[str, str]] = {JPEG: "JPEG", "image/png": "PNG", "image/gif": "GIF"}
"""Media types of pictures, with Pillow's names for them."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which values are shown from black to white (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, slots=True)
class Wish:
    """How somebody wants to see a frame."""

    media_type: str = JPEG
    quality: int = 90
    size: tuple[int, int] | None = None
    """Columns and rows that the picture has at most."""
    region: tuple[float, float, float, float] | None = None
    """Left, top, width, height in pixels of the frame; a negative one turns it over."""
    window: Window | None = None
    enlarge: bool = True
    """Whether a small frame is made larger to fit."""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """Make it of what `dataclasses.asdict` gave, by way of JSON."""
        window = plain["window"]
        return cls(**{**plain, "window": window and Window(**window)})
