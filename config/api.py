"""The shape of the [tokens.NAME] tables: who may use the API and DICOMweb, and for what."""

from typing import Annotated, Literal

from pydantic import Field

from config.shapes import Table

ApiPermission = Literal[
    "status",
    "links",
    "identified-links",
    "sources",
    "events",
    "query",
    "retrieve",
    "store",
    "worklist",
    "sql",
    "identified-sql",
    "fhir",
    "models",
    "promote",
]

DIGEST_FORM = r"^sha256:[0-9a-f]{64}$"


class Token(Table):
    """A user of the API; the table's key is the name in logs and events."""

    digest: Annotated[str, Field(pattern=DIGEST_FORM)]
    """SHA-256 of the token; the token itself is written down nowhere."""
    may: tuple[ApiPermission, ...] = ()
    ae_title: str | None = None
    """What rules see as `calling_ae` of objects it stores; made of the name by default."""
