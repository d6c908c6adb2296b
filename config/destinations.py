"""The shape of the [destinations.NAME] tables, one class per kind."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from config.shapes import Seconds, Secret, Table


class FolderDestination(Table):
    """A folder that receives Part 10 files."""

    kind: Literal["folder"]
    path: Path


class ObjectStoreDestination(Table):
    """A bucket prefix on S3, Google Cloud Storage, Azure, or a file URL."""

    kind: Literal["object-store"]
    url: Annotated[str, Field(pattern=r"^(s3|gs|az|file)://")]
    endpoint: str | None = None
    region: str | None = None
    access_key: Secret | None = None
    secret_key: Secret | None = None
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8


class DicomDestination(Table):
    """A peer that receives by C-STORE."""

    kind: Literal["dicom"]
    peer: str
    timeout_s: Seconds = 30


Destination = Annotated[
    FolderDestination | ObjectStoreDestination | DicomDestination, Field(discriminator="kind")
]
