"""Write a multipart/related body: what stands before each part and behind the last (RFC 2046)."""

from dataclasses import dataclass
from typing import Final

_END: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Multipart:
    """One body, by its boundary; the parts' own bytes are written between `opening`s by others."""

    boundary: str
    """Of chance, so that no part can hold it."""

    def content_type(self, inner: str) -> str:
        """Give the header of the whole; `inner` is the media type of its root, the first part."""
        return f'multipart/related; type="{inner}"; boundary={self.boundary}'

    def opening(self, content_type: str, length: int | None = None, location: str = "") -> bytes:
        """Give what stands before a part of so many bytes."""
        lines = [f"\r\n--{self.boundary}", f"Content-Type: {content_type}"]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        if location:
            lines.append(f"Content-Location: {location}")
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    @property
    def closing(self) -> bytes:
        """What stands behind the last part."""
        return _END + f"--{self.boundary}--".encode("ascii") + _END
