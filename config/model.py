"""The shape of node.toml: every key, its type and its default.

Unknown keys are faults. References between tables are checked in config/load.py, so that one
run reports every fault of a file. Settings are frozen: a change is a new object.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Table(BaseModel):
    """A TOML table: frozen, and strict about names."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86_400 * 30)]
Permission = Literal["store", "find", "move", "get", "commit"]
Option = Literal[
    "retain-uids",
    "retain-safe-private",
    "retain-device",
    "retain-institution",
    "retain-patient-characteristics",
    "full-dates",
    "modified-dates",
    "clean-descriptors",
    "clean-structured-content",
    "clean-graphics",
    "clean-pixel-data",
    "clean-visual-features",
]
"""The options of PS3.15 E.3, in the order of Table E.1-1's columns."""


def _listed(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
"""A list of names; a single one needs no brackets."""


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
    plain: bool = True
    """Whether this port, which is without TLS, is open at all."""
    data_dir: Path = Path("var")
    accept_unknown_callers: bool = False
    max_associations: Annotated[int, Field(ge=1, le=10_000)] = 100
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1 << 20)] = 131_072
    idle_timeout_s: Seconds = 60
    segment_mb: Annotated[int, Field(ge=1, le=65_536)] = 256
    slow_below_mb: Annotated[int, Field(ge=0)] | None = None
    refuse_below_mb: Annotated[int, Field(ge=0)] | None = None
    reserve_mb: Annotated[int, Field(ge=0)] = 512
    private_sop_classes: tuple[str, ...] = ()
    spool_key: Secret | None = None
    """With it, what arrives is encrypted before it is written."""
    spool_old_keys: tuple[Secret, ...] = ()
    """Keys that are used for reading alone."""
    workers: Annotated[int, Field(ge=0, le=256)] = 2

    @property
    def refuse_mark_mb(self) -> int:
        """Free space below which senders are asked to come back: twice the reserve by default."""
        return 2 * self.reserve_mb if self.refuse_below_mb is None else self.refuse_below_mb

    @property
    def slow_mark_mb(self) -> int:
        """Free space below which storing slows down: twice the mark above by default."""
        return 2 * self.refuse_mark_mb if self.slow_below_mb is None else self.slow_below_mb


class Tls(Table):
    """The DICOM door's port under TLS, beside the one without it or in its place."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """Where it is set, clients without a certificate of such an authority are turned away."""
    minimum: Literal["1.2", "1.3"] = "1.2"
    port: Port = 2762


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
    addresses: tuple[str, ...] = ()
    """Where it may call from; anywhere when empty. `host` is where it is called, and no more."""
    tls_name: Names = ()
    """The names of which its certificate must carry one; TLS is then required of it."""
    max_associations: Annotated[int, Field(ge=1, le=10_000)] | None = None


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


class ProfileException(Table):
    """One attribute that a site treats otherwise than its profile does, and why."""

    tag: str
    """A keyword, or a tag as "0010,1010"."""
    action: Literal["remove", "empty", "dummy", "keep", "clean", "uid", "pseudonym", "refuse"]
    reason: Annotated[str, Field(min_length=1)]


class Profile(Table):
    """A de-identification profile: a base, PS3.15 options by name, and its pseudonym key."""

    base: Literal["basic", "research", "trial", "teaching"] = "basic"
    options: tuple[Option, ...] = ()
    """Beside those that the base turns on."""
    without: tuple[Option, ...] = ()
    """Options of the base to turn off."""
    key: Secret
    project: str = ""
    """Pseudonyms of two projects differ, also under one key."""
    exceptions: tuple[ProfileException, ...] = ()
    vocabulary: Path | None = None
    """Words, one a line, that cleaned text may keep beside the usual ones."""
    device_rules: Path | None = None
    """Where devices burn text into pixels."""
    documents: Literal["refuse", "replace"] = "refuse"
    """What becomes of encapsulated documents, which nobody can look into."""
    reversible: bool = False
    """Whether the vault keeps the way back."""


class Vault(Table):
    """The key of the vault, in which reversible profiles keep the way back."""

    key: Secret
    old_keys: tuple[Secret, ...] = ()


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
    when: dict[str, Any] = Field(default_factory=dict)
    """Conditions by keyword; config/conditions.py reads what stands beside each."""
    expr: str | None = None
    """A condition in CEL that must hold beside `when`."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Rules with more of it are asked first; among equals, as they stand in the file."""
    stop: bool = False
    """Whether no further rule is asked once this one matches."""
    profile: str | None = None
    reidentify: str | None = None
    """A reversible profile under which its objects were de-identified: they get their identity
    back."""
    validation: Literal["off", "record", "hold"] = "record"
    """Whether objects are checked before they leave, and what a fault does to them."""
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
    tls: Tls | None = None
    http: Http = Http()
    settle: Settle = Settle()
    jobs: Jobs = Jobs()
    log: Log = Log()
    peers: dict[str, Peer] = Field(default_factory=dict)
    destinations: dict[str, Destination] = Field(default_factory=dict)
    profiles: dict[str, Profile] = Field(default_factory=dict)
    vault: Vault | None = None
    models: dict[str, Model] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    mqtt: Mqtt | None = None
