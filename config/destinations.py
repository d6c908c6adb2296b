"""The shape of the [destinations.NAME] tables, one class per kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from config import object_names
from config.shapes import ClientTls, Seconds, Secret, Table, Target
from dicom import result_kinds


class ResultTarget(Target):
    """What destinations have in common when results of models go there."""

    results: tuple[result_kinds.Name, ...] | None = None
    """Which kinds of results it is sent; all of them without it."""
    results_without_originals: bool = False
    """Whether results go there although nobody knows that the images are there."""


class FolderDestination(ResultTarget):
    """A folder that receives Part 10 files."""

    kind: Literal["folder"]
    path: Path
    key: str = object_names.DEFAULT
    """How files are named under it: config/object_names.py."""


class ObjectStoreDestination(ResultTarget):
    """A bucket prefix on S3, Google Cloud Storage, Azure, or a file URL."""

    kind: Literal["object-store"]
    url: Annotated[str, Field(pattern=r"^(s3|gs|az|file)://")]
    endpoint: str | None = None
    region: str | None = None
    access_key: Secret | None = None
    secret_key: Secret | None = None
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    key: str = object_names.DEFAULT
    """How objects are named under the prefix: config/object_names.py."""
    verify: Literal["read-back", "checksum"] = "read-back"
    """What proves a delivery: reading the object again, or the store's own check of its SHA-256."""
    storage_class: str | None = None
    """S3's and GCS's storage class, Azure's access tier."""
    tags: dict[str, str] = Field(default_factory=dict)
    encryption: Literal["sse-s3", "sse-kms"] | None = None
    """At rest, by S3: with a key of its own, or with one of its key management."""
    kms_key: str | None = None
    """Which one; without it, the account's own for S3."""
    manifest: bool = False
    """Whether a list of what was delivered of a Study is written beside it."""


class DicomDestination(ResultTarget):
    """A peer that receives by C-STORE."""

    kind: Literal["dicom"]
    peer: str
    timeout_s: Seconds = 30
    associations: Annotated[int, Field(ge=1, le=64)] = 2
    """How many it is sent to over at once, or as many of them as it takes."""
    transcode: Literal["lossless", "never"] = "lossless"
    """Whether the peer gets another transfer syntax where it does not take an object's own."""
    commit: bool = False
    """Whether it is asked to commit itself to what it was sent (Storage Commitment)."""
    commit_timeout_s: Seconds = 3600
    """How long its answer may take before it is asked again."""


class BasicAuth(Table):
    """A user and a password, sent with every request."""

    kind: Literal["basic"]
    user: str
    password: Secret


class BearerAuth(Table):
    """A token that does not change, sent with every request (RFC 6750)."""

    kind: Literal["bearer"]
    token: Secret


class OAuth2(Table):
    """An access token, asked for by the node in its own name (RFC 6749 4.4)."""

    kind: Literal["oauth2"]
    token_url: Annotated[str, Field(pattern=r"^https?://")]
    client_id: str
    client_secret: Secret
    scope: str | None = None


Auth = Annotated[BasicAuth | BearerAuth | OAuth2, Field(discriminator="kind")]
"""Who we are to a server."""


class StowDestination(ResultTarget):
    """A DICOMweb server that receives by STOW-RS."""

    kind: Literal["stow"]
    url: Annotated[str, Field(pattern=r"^https?://")]
    """The service's root, above /studies."""
    auth: Auth | None = None
    tls: ClientTls | None = None
    """Whom to believe instead of the operating system's authorities, and who calls."""
    plain: bool = False
    """Whether http:// may leave this machine: patients' data, readable on the way."""
    batch_mb: Annotated[int, Field(ge=1, le=4096)] = 64
    """So much goes into one request, or"""
    batch_objects: Annotated[int, Field(ge=1, le=10_000)] = 100
    """so many objects, or one that is larger alone."""
    timeout_s: Seconds = 60
    read_back: bool = False
    """Whether each object is fetched again and compared byte for byte."""


Destination = Annotated[
    FolderDestination | ObjectStoreDestination | DicomDestination | StowDestination,
    Field(discriminator="kind"),
]


def results_taken(destinations: Mapping[str, Destination]) -> dict[str, frozenset[str]]:
    """Give the kinds of results that destinations are sent, of those that are not sent all."""
    chosen = {name: table.results for name, table in destinations.items()}
    return {name: frozenset(kinds) for name, kinds in chosen.items() if kinds is not None}
