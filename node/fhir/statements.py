"""What the node says of itself and of faults in FHIR: CapabilityStatement, OperationOutcome."""

from collections.abc import Mapping
from typing import Final

from node.fhir.imaging_study import Resource
from node.fhir.search import PARAMETERS

MEDIA_TYPE: Final = "application/fhir+json"
_CODES: Final[Mapping[int, str]] = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    422: "invalid",
    429: "throttled",
    500: "exception",
    503: "transient",
}
_BY_IDENTIFIER: Final = "By identifier alone, as :identifier or .identifier has it."


def outcome(status: int, words: str) -> Resource:
    """Say what went wrong."""
    issue = {
        "severity": "error",
        "code": _CODES.get(status, "processing"),
        "diagnostics": words or "no more is known",
    }
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def capabilities(version: str, since: str, base: str) -> Resource:
    """Say what can be asked; `since` is the date of this release's start, `base` /fhir's URL."""
    parameters = [
        {"name": name, "type": kind}
        | ({"documentation": _BY_IDENTIFIER} if kind == "reference" else {})
        for name, kind in PARAMETERS.items()
    ]
    imaging_study = {
        "type": "ImagingStudy",
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "versioning": "versioned",
        "readHistory": False,
        "conditionalRead": "not-match",
        "referencePolicy": ["logical"],
        "searchParam": parameters,
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": since,
        "kind": "instance",
        "software": {"name": "Penumbra", "version": version},
        "implementation": {"description": "Penumbra, an edge DICOM node", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{
            "mode": "server",
            "security": {"description": "Bearer or Basic, with a token of [tokens] that may fhir"},
            "resource": [imaging_study],
        }],
    }  # fmt: skip
