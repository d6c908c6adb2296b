"""What an endpoint of the API is: its route, its permission, its words, and who answers it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from config.api import ApiPermission
from dicom.worklist import Entry
from node.links import DEFAULT_S, LONGEST_S, Link
from node.models import Models
from node.web.guard import Caller
from node.web.sql_door import SqlDoor
from storage.ledger.worklist import Draft, Put

PREFIX: Final = "/api/v1"


class LinksWanted(BaseModel):
    """The body of POST /links."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    study: Annotated[str, Field(pattern=r"^[0-9A-Za-z._-]{1,64}$")]
    """Study Instance UID, the original one or a new one."""
    destination: Annotated[str, Field(max_length=200)] | None = None
    """The object store, where several hold the study."""
    expires_s: Annotated[int, Field(ge=1, le=LONGEST_S)] = DEFAULT_S


class WorklistDoor(Protocol):
    """What the API does with the worklist; each may block and raise a Fault."""

    def page(self, after: str, limit: int, state: str) -> Sequence[Entry]:
        """Give entries behind an id."""

    def get(self, entry_id: str) -> Entry | None:
        """Give an entry."""

    def put(self, drafts: Sequence[Draft]) -> list[Put]:
        """Write entries down, each in the place of what was said of it before."""

    def remove(self, entry_id: str) -> bool:
        """Take an entry back; False where there is none."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the API can do, given by whoever knows the parts; each may block and raise a Fault."""

    status: Callable[[], Mapping[str, object]]
    links: Callable[[LinksWanted, Caller], Sequence[Link]]
    notice: Callable[[str, bytes], int]
    """Take a store's message for a source; returns how many keys of it are looked at."""
    events: Callable[[int, int], Sequence[Mapping[str, object]]]
    audit: Callable[[str, Mapping[str, object]], None]
    """Put a use on record: token name and plain facts."""
    worklist: WorklistDoor | None = None
    sql: SqlDoor | None = None
    models: Models | None = None


Answer = Callable[[Request, Abilities, Caller], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing to ask; the routes and the description are made of these."""

    method: str
    path: str
    may: ApiPermission | None
    """The permission; None where any token will do."""
    words: str
    answer: Answer
    status: int
    result: Mapping[str, Any]
    """The JSON schema of a good answer."""
    body: type[BaseModel] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    is_audited: bool = True
