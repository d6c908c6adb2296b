"""Try a model on files as a worker would, and send and store nothing."""

import mmap
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ai import header
from ai.header import Part10
from ai.outcome import Outcome
from ai.pipeline import Pool
from config.models import Model
from dicom.errors import Unsuitable
from dicom.part10 import text
from node import sending


@dataclass(slots=True)
class SeriesFiles:
    """The files of one Series."""

    series_instance_uid: str
    modality: str
    parts: list[Part10] = field(default_factory=list)
    """Whole files, mapped into memory."""


def series_of(paths: Iterable[Path]) -> tuple[list[SeriesFiles], list[Path]]:
    """Sort the files of folders by Series; also those that are no DICOM objects, which are left."""
    found: dict[str, SeriesFiles] = {}
    skipped = []
    for each in sending.find(paths):
        path = each if isinstance(each, Path) else each.path
        try:
            part10 = _mapped(path)
            head = header.head(0, part10)
        except (OSError, ValueError, Unsuitable):
            skipped.append(path)
            continue
        uid = text(head, "SeriesInstanceUID")
        found.setdefault(uid, SeriesFiles(uid, text(head, "Modality"))).parts.append(part10)
    return list(found.values()), skipped


def run(name: str, settings: Model, series: Sequence[SeriesFiles], now: datetime) -> list[Outcome]:
    """Infer each Series as a worker would; a refusal is an outcome too.

    Raises BadAnswer, ModelUnavailable, and Unsuitable for a Series of which no result can be made.
    """
    tried = settings.model_copy(update={"refused": "report", "shadow": None, "cache_mb": 0})
    with closing(Pool()) as pool:
        return [pool.infer(name, tried, one.parts, now=now) for one in series]


def save(outcome: Outcome, folder: Path) -> list[Path]:
    """Write an outcome's objects as Part 10 files. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = []
    for result in outcome.results:
        path = folder / f"{result.kind}-{result.sop_instance_uid}.dcm"
        path.write_bytes(result.part10)
        written.append(path)
    return written


def _mapped(path: Path) -> Part10:
    with path.open("rb") as opened:
        return memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
