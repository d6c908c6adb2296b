"""Write Instances into a ZIP file that is made while it goes out, uncompressed."""

import io
import zipfile
from collections.abc import Iterable, Iterator

from dicom.entity import Instance
from dicom.native import Piece

_DATE = (1980, 1, 1, 0, 0, 0)  # of none: when it was asked for is no property of an object


class _Sink(io.RawIOBase):
    """Takes what is written, and cannot go back: zipfile then writes sizes behind each file."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: object, /) -> int:
        """Keep it until it is collected."""
        piece = bytes(data)  # type: ignore[call-overload]  # any buffer
        self.taken.append(piece)
        return len(piece)

    def collect(self) -> bytes:
        """Give what came since the last time."""
        taken, self.taken = b"".join(self.taken), []
        return taken


def zipped(files: Iterable[tuple[Instance, Iterator[Piece]]]) -> Iterator[bytes]:
    """Give a ZIP file with DICOM/<SOP Instance UID>.dcm for each."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for instance, pieces in files:
            first = next(pieces, b"")
            name = f"DICOM/{instance.arrival.sop_instance_uid}.dcm"
            with archive.open(zipfile.ZipInfo(name, _DATE), "w", force_zip64=True) as file:
                file.write(first)
                yield sink.collect()
                for piece in pieces:
                    file.write(piece)
                    yield sink.collect()
    yield sink.collect()
