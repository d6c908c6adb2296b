"""Write amounts and moments for people."""

import time
from typing import Final

_SIZES: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size(size_bytes: float) -> str:
    """Write a size: 31.5 MB."""
    for least, unit in _SIZES:
        if abs(size_bytes) >= least:
            return (
                f"{size_bytes / least:.3g} {unit}" if size_bytes < 1e15 else f"{size_bytes:.3g} B"
            )
    return f"{size_bytes:.0f} B"


def whole(number: float) -> str:
    """Write a whole number in groups of three: 12 345."""
    return f"{round(number):,}".replace(",", "\N{NO-BREAK SPACE}")


def moment(seconds: float) -> str:
    """Write a time in UTC, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def duration(seconds: float) -> str:
    """Write how long something takes or took: 3 d 4 h."""
    left, parts = int(seconds), list[str]()
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"
