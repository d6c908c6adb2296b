"""The shape of the [sql] table: what questions over HTTP may use, and reports of one's own."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from config.shapes import Seconds, Table


class Sql(Table):
    """Limits on questions in SQL over HTTP and on saved reports."""

    reports: Path | None = None
    """A folder of SQL files of one's own, listed beside the reports that come along."""
    timeout_s: Seconds = 30
    max_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    memory_mb: Annotated[int, Field(ge=128, le=65_536)] = 1024
    """For each question, beside half a GiB that its process takes anyway."""
    answer_mb: Annotated[int, Field(ge=1, le=65_536)] = 256
    at_once: Annotated[int, Field(ge=1, le=32)] = 2
