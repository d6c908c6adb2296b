"""The shape of node.toml: every key, its type and its default.

Unknown keys are faults. References between tables are checked in config/load.py, so that one
run reports every fault of a file. Settings are frozen: a change is a new object.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Table(BaseModel):
    """A TOML table: frozen, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 30)]
Permission = Literal["store", "find", "move", "get", "commit"]


class Secret(Table):
    """Where a secret is read from; the config file itself never holds one."""

    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError('a secret is either { env = "NAME" } or { file = "path" }')
        return self


class Node(Table):
    """The DICOM door and the node's own disk."""

    ae_title: str = "PENUMBRA"
    host: str = "0.0.0.0"  # noqa: S104  (a scanner must reach it; callers are denied by default)
    port: Port = 11112
    data_dir: Path = Path("var")
    accept_unknown_callers: bool = False
    max_associations: Annotated[int, Field(ge=1, le=10_000)] = 100
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1 << 20)] = 131_072
    idle_timeout_s: Seconds = 60
    segment_mb: Annotated[int, Field(ge=1, le=65_536)] = 256
    reserve_mb: Annotated[int, Field(ge=0)] = 512
    private_sop_classes: tuple[str, ...] = ()
    workers: Annotated[int, Field(ge=0, le=256)] = 2


class Http(Table):
    """Signs of life and metrics; no patient data is served here."""

    host: str = "127.0.0.1"
    port: Port = 8080


class Settle(Table):
    """When a Series counts as complete."""

    quiet_s: Seconds = 30
    release_s: Annotated[float, Field(ge=0, le=3600)] = 1
    """Quiet time that is enough once every association that sent the Series was released."""


class Jobs(Table):
    """How often a job is tried, and how long a silent worker keeps it."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    first_wait_s: Seconds = 2
    lease_s: Seconds = 30


class Log(Table):
    """The log: JSON lines on standard error off a terminal."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class Peer(Table):
    """A remote AE; the table's key is its title."""

    host: str | None = None
    port: Port | None = None
    may: tuple[Permission, ...] = ()


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


class Profile(Table):
    """A de-identification profile: a base, PS3.15 options by name, and its pseudonym key."""

    base: Literal["basic"] = "basic"
    options: tuple[str, ...] = ()
    key: Secret


class Model(Table):
    """A model on Triton servers, and what a Series must be for it.

    The wanted input and the meaning of the outputs come from the model's own parameters
    (config.pbtxt); keys given here override them.
    """

    endpoints: Annotated[tuple[str, ...], Field(min_length=1)]
    model: str
    version: str = ""
    timeout_s: Seconds = 60
    min_slices: Annotated[int, Field(ge=1)] | None = None
    max_spacing_mm: Annotated[float, Field(gt=0)] | None = None


class Rule(Table):
    """What happens to a Series once it is complete."""

    name: str
    when: dict[str, str | int | tuple[str | int, ...]] = Field(default_factory=dict)
    profile: str | None = None
    send: tuple[str, ...] = ()
    infer: tuple[str, ...] = ()
    results_to: tuple[str, ...] = ()


class Mqtt(Table):
    """Where events are published, if anywhere."""

    url: Annotated[str, Field(pattern=r"^mqtts?://")]
    topic: str = "penumbra"
    username: str | None = None
    password: Secret | None = None
    ca_file: Path | None = None


class Settings(Table):
    """A whole, valid config file."""

    node: Node = Node()
    http: Http = Http()
    settle: Settle = Settle()
    jobs: Jobs = Jobs()
    log: Log = Log()
    peers: dict[str, Peer] = Field(default_factory=dict)
    destinations: dict[str, Destination] = Field(default_factory=dict)
    profiles: dict[str, Profile] = Field(default_factory=dict)
    models: dict[str, Model] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    mqtt: Mqtt | None = None
