"""The shape of the [sources.NAME] tables, one class per kind: doors in beside DICOM."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from config.shapes import Seconds, Secret, Table

After = Literal["keep", "move", "delete"]
"""What becomes of an object at its source once it is on the node's disk."""
_NO_TITLE: Final = re.compile(r"[^A-Z0-9_-]+")


class FolderSource(Table):
    """A folder that is watched for Part 10 files, and for images with a sidecar."""

    kind: Literal["folder"]
    path: Path
    ae_title: str | None = None
    """What rules see as `calling_ae`; made of the source's name by default."""
    after: After = "keep"
    poll_s: Seconds = 5
    quiet_s: Annotated[float, Field(ge=0, le=86_400)] = 5
    """A file is complete once neither its size nor its times changed for so long."""
    sidecar_wait_s: Seconds = 300
    largest_mb: Annotated[int, Field(ge=1, le=1_048_576)] = 4096


class BucketSource(Table):
    """A bucket prefix that is looked through for the same, now and then or when told."""

    kind: Literal["bucket"]
    url: Annotated[str, Field(pattern=r"^(s3|gs|az|file)://")]
    endpoint: str | None = None
    region: str | None = None
    access_key: Secret | None = None
    secret_key: Secret | None = None
    ae_title: str | None = None
    after: After = "keep"
    poll_s: Seconds = 60
    sidecar_wait_s: Seconds = 300
    largest_mb: Annotated[int, Field(ge=1, le=1_048_576)] = 4096
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8


Source = Annotated[FolderSource | BucketSource, Field(discriminator="kind")]


def title_of(name: str, ae_title: str | None) -> str:
    """Give a source's AE title: its own, or its name in capitals with - for what fits in none."""
    return ae_title or _NO_TITLE.sub("-", name.upper()).strip("-")[:16]
