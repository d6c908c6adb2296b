"""A door with a real spool and a real ledger behind it, and pictures to put before it."""

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from dicom.entity import Origin
from dicom.uid import derive
from node.sources.door import Door
from node.sources.examining import Examiner
from node.sources.folder import FolderPlace
from node.sources.terms import Terms
from storage.ledger.events import NewEvent
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

GREY = (np.arange(48 * 64, dtype="<u2") * 21).reshape(48, 64)
COLOUR = np.dstack([(GREY >> 8).astype("u1"), (GREY & 255).astype("u1"), (GREY >> 4).astype("u1")])


def encoded(cells: Any, kind: str, **options: Any) -> bytes:
    """Write cells as a picture file."""
    out = io.BytesIO()
    (cells if isinstance(cells, Image.Image) else Image.fromarray(cells)).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="session")
def grey() -> Any:
    """Cells of 16 bits."""
    return GREY


@pytest.fixture(scope="session")
def colour() -> Any:
    """Cells of three times 8 bits."""
    return COLOUR


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """Give the writer of picture files."""
    return encoded


@pytest.fixture(scope="session")
def make_file() -> Callable[..., bytes]:
    """Give the maker of small CT slices as Part 10 files."""

    def make(number: int = 1, **changed: Any) -> bytes:
        image = Dataset()
        image.SOPClassUID, image.Modality = CTImageStorage, "CT"
        image.SOPInstanceUID = derive("sources", str(number))
        image.StudyInstanceUID, image.SeriesInstanceUID = derive("study"), derive("series")
        image.PatientName, image.PatientID = "KANARIENVOGEL^HANS", "ZZ-4711"
        image.Rows = image.Columns = 16
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelRepresentation = 0
        image.PixelData = np.full((16, 16), number, "<u2").tobytes()
        for keyword, value in changed.items():
            setattr(image, keyword, value)
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        out = io.BytesIO()
        dcmwrite(out, image, enforce_file_format=True)
        return out.getvalue()

    return make


@dataclass
class Brake:
    """A disk with room, or without."""

    words: str = ""
    pause_s: float = 0.0

    def trouble(self) -> str:
        """Say what is in the way."""
        return self.words


@dataclass
class Bench:
    """Doors to one spool and one ledger, with a clock that a test moves."""

    root: Path
    spool: Spool
    ledger: Ledger
    examiner: Examiner
    now: float = 1000.0
    brake: Brake = field(default_factory=Brake)
    told: list[NewEvent] = field(default_factory=list)
    doors: list[Door] = field(default_factory=list)

    @property
    def box(self) -> Path:
        """The watched folder."""
        (self.root / "box").mkdir(exist_ok=True)
        return self.root / "box"

    def door(
        self,
        *,
        quiet_s: float = 0.0,
        place: Any = None,
        clock: Callable[[], float] = time.time,
        **changed: Any,
    ) -> Door:
        """Make a door."""
        terms = Terms(
            name="box", origin=Origin.FOLDER, ae_title="BOX", called_ae="PENUMBRA", after="keep",
            sidecar_wait_s=60, largest_bytes=1 << 20,
            classes=frozenset({CTImageStorage, SecondaryCaptureImageStorage}),
            scratch=self.root / "scratch",
        )  # fmt: skip
        place = place or FolderPlace(self.box, quiet_s, lambda: self.now)
        made = Door(
            replace(terms, **changed), place, self.spool, self.ledger.taken, brake=self.brake,
            tell=self.told.extend, examiner=self.examiner, clock=clock, monotonic=lambda: self.now,
        )  # fmt: skip
        self.doors.append(made)
        return made

    def put(self, name: str, content: bytes | dict[str, Any]) -> Path:
        """Write a file into the box."""
        file = self.box / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return file

    def stored(self) -> list[Any]:
        """Give what is in the spool."""
        return list(self.spool.records({}))

    def bodies(self) -> list[bytes]:
        """Give the Part 10 bytes of what is in the spool."""
        reader = SpoolReader(self.spool.root)
        return [bytes(reader.view(one.location)) for one in self.stored()]

    def reasons(self) -> str:
        """Give what is written about what was rejected."""
        files = [*self.root.rglob("*.reason.txt")]
        return "\n".join(file.read_text() for file in files)


class _Shared(Examiner):
    """One process for all doors of a session: each takes half a second to start."""

    def close(self) -> None:
        """Stay."""


@pytest.fixture(scope="session")
def examiner() -> Iterator[Examiner]:
    """A process that looks into files."""
    made = _Shared()
    yield made
    Examiner.close(made)


@pytest.fixture
def bench(tmp_path: Path, examiner: Examiner) -> Iterator[Bench]:
    """A spool and a ledger in a folder of the test's own."""
    spool = Spool.open(tmp_path / "spool", segment_bytes=1 << 24, reserve_bytes=0)
    made = Bench(tmp_path, spool, Ledger.open(tmp_path / "var"), examiner)
    yield made
    for door in made.doors:
        door.close()
    made.ledger.close()
    spool.close()
