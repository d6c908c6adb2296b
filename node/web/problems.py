"""Answer what went wrong as a problem (RFC 9457): a status, a code, and words without values."""

from collections.abc import Mapping

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from dicom.errors import DeliveryFault, DoesNotMatch, Fault, ServiceFault

MEDIA_TYPE = "application/problem+json"


def problem(
    status: int, code: str, words: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Make the answer."""
    body = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": words}
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


def problem_of(fault: Exception) -> Response:
    """Say what a fault means to whoever asked; what is no Fault is a bug of ours."""
    if isinstance(fault, HTTPException):
        return problem(fault.status_code, "request", fault.detail, fault.headers)
    if isinstance(fault, ValidationError):
        return problem(422, "question", _invalid(fault))
    if isinstance(fault, DoesNotMatch):
        return problem(404, fault.code, str(fault))
    if isinstance(fault, DeliveryFault):
        return problem(503 if fault.retry else 502, fault.code, str(fault))
    if isinstance(fault, Fault):
        status = 400 if isinstance(fault, ServiceFault) else 500
        return problem(503 if fault.retry else status, fault.code, str(fault))
    words = f"the node failed at this ({type(fault).__name__}); see its log"
    return problem(500, "bug", words)


def _invalid(fault: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, error['loc'])) or 'body'}: {error['msg']}"
        for error in fault.errors(include_url=False, include_input=False, include_context=False)
    )
