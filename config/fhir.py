"""The shape of the [fhir] table: what ImagingStudy tells, and the server it is posted to."""

from typing import Annotated

from pydantic import Field

from config.destinations import Auth
from config.shapes import ClientTls, Seconds, Table

TARGET = "fhir"
"""What jobs of posting are owed to; no destination may have this name beside a server."""


class Fhir(Table):
    """FHIR R4, for whoever has a token; and a server that is told of each settled Study."""

    server: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """The base of a FHIR server, above /ImagingStudy; nobody is told without it."""
    auth: Auth | None = None
    tls: ClientTls | None = None
    plain: bool = False
    """Whether http:// may leave this machine."""
    timeout_s: Seconds = 30
    patient_names: bool = False
    """Whether a subject bears the patient's name beside the identifier."""
    public_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Where others find the HTTP port, as links and endpoints name it; as they asked by default."""
    issuers: dict[str, str] = Field(default_factory=dict)
    """The system of patients' identifiers by IssuerOfPatientID; "" for those without one."""
