"""The shape of node.toml: every key, its type and its default.

Unknown keys are faults. References between tables are checked in config/load.py, so that one
run reports every fault of a file. Settings are frozen: a change is a new object.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from config.api import Token
from config.commitment import Commitment, When
from config.destinations import Destination
from config.fhir import Fhir
from config.lake import Lake
from config.models import Model
from config.profiles import Profile, Vault
from config.query import Query
from config.retention import Retention
from config.retrieve import Retrieve
from config.rule import Rule
from config.shapes import ClientTls, Names, Port, Seconds, Secret, Table
from config.sharing import Ledger, Staging
from config.sources import Source
from config.sql import Sql
from config.worklist import Worklist

Permission = Literal["store", "find", "move", "get", "commit", "mpps", "worklist"]


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
    encrypt_index: bool = False
    """Whether the index is encrypted too, with a key that is made from the spool's."""
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
    """Signs of life and metrics; and, for whoever has a token, the API and DICOMweb."""

    host: str = "127.0.0.1"
    port: Port = 8080
    certificate: Path | None = None
    """With it and the key, the port speaks HTTPS alone."""
    key: Path | None = None
    behind_proxy: bool = False
    """Whether a proxy in front speaks TLS, so that tokens may come in plain HTTP."""
    origins: tuple[str, ...] = ()
    """Web sites other than the node whose pages may ask it, as "https://host" or with a port."""
    viewer: Path | None = None
    """The folder of OHIF's files, which are then served at /ohif."""


class Settle(Table):
    """When a Series counts as complete."""

    quiet_s: Seconds = 30
    release_s: Annotated[float, Field(ge=0, le=3600)] = 1
    """Quiet time that is enough once every association that sent the Series was released."""
    incomplete_s: Annotated[float, Field(ge=0, le=86_400)] = 300
    """Quiet time that is needed while Instances were announced, or seem, to be missing."""
    study_quiet_s: Seconds = 120
    """Quiet time after which a Study of complete Series is complete."""


class Jobs(Table):
    """How often a job is tried, and how long a silent worker keeps it."""

    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    first_wait_s: Seconds = 2
    give_up_h: Annotated[float, Field(ge=0, le=8760)] = 72
    """How long a job that fails by itself is tried on, ever more seldom, before it is held."""
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
    ask_counts: bool = False
    """Whether it is asked how many Instances a Study has that it sends."""
    tls: bool | ClientTls = False
    """Whether it is called under TLS, and how."""
    max_associations: Annotated[int, Field(ge=1, le=10_000)] | None = None
    commitment: When | None = None
    """What counts as committed when it asks; as [commitment] says by default."""
    move_to: Names = ()
    """The peers that it may have objects sent to by C-MOVE, beside itself."""


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
    retention: Retention = Retention()
    commitment: Commitment = Commitment()
    query: Query = Query()
    retrieve: Retrieve = Retrieve()
    log: Log = Log()
    peers: dict[str, Peer] = Field(default_factory=dict)
    destinations: dict[str, Destination] = Field(default_factory=dict)
    sources: dict[str, Source] = Field(default_factory=dict)
    worklist: Worklist = Worklist()
    tokens: dict[str, Token] = Field(default_factory=dict)
    profiles: dict[str, Profile] = Field(default_factory=dict)
    vault: Vault | None = None
    ledger: Ledger = Ledger()
    staging: Staging | None = None
    models: dict[str, Model] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    mqtt: Mqtt | None = None
    sql: Sql = Sql()
    lakes: dict[str, Lake] = Field(default_factory=dict)
    fhir: Fhir = Fhir()
