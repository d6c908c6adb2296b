"""Tell a FHIR server of a Study that has settled: one ImagingStudy, made or brought up to date.

The front is asked for the resource, which owns the index; so what is posted is what
/fhir/ImagingStudy answers.
"""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final
from urllib.parse import quote

from config import secrets
from config.destinations import StowDestination
from config.fhir import Fhir
from config.model import Settings
from dicom.errors import Busy, Refused, Unreachable
from node.control_client import SOCKET_NAME, ControlClient
from node.fhir.imaging_study import UID_SYSTEM
from node.fhir.statements import MEDIA_TYPE
from node.workers.workshop import Done, Later, Workshop
from routing.job import Job
from storage.destinations.web import Answer, Web
from storage.ledger.events import NewEvent

TOLD: Final = "penumbra.study.told"
"""The type of the event that a FHIR server was told of a Study."""
FRONT_S: Final = 5.0
"""How long a job waits for the front, which owns the index."""
INDEX_S: Final = 1.0
LAGGING_S: Final = 600.0
"""After so long the index is believed, however many Instances the ledger has more."""


def tell(job: Job, workshop: Workshop) -> Done:
    """Update the ImagingStudy of a Study on the server, or create it (R4 3.1.0.4.3).

    Raises Refused for what the server will refuse again, Busy or Unreachable for what it may take
    later.
    """
    study, fhir = job.spec.series.study_instance_uid, workshop.settings.fhir
    if fhir.server is None:
        return Done("[fhir] names no server any more", is_answer=False)
    resource = _resource(job, workshop)
    for key in ("id", "meta"):  # both are the server's own
        resource.pop(key, None)
    body = json.dumps(resource, ensure_ascii=False).encode()
    identifier = quote(f"{UID_SYSTEM}|urn:oid:{study}", safe="")
    with opened(fhir) as server:
        answer = server.ask(
            "PUT",
            f"/ImagingStudy?identifier={identifier}",
            {"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE},
            lambda: iter([body]),
            len(body),
        )
    words = {200: "updated", 201: "created"}.get(answer.status)
    if words is None:
        raise _fault(fhir.server, answer)
    facts = {"instances": resource.get("numberOfInstances", 0), "outcome": words}
    return Done(words, [NewEvent(TOLD, study, facts)])


def ask_server(settings: Settings) -> None:
    """Ask the server for its CapabilityStatement. Raises Refused, Busy or Unreachable."""
    with opened(settings.fhir) as server:
        server.ask("GET", "/metadata", {"Accept": MEDIA_TYPE})


@contextmanager
def opened(fhir: Fhir) -> Iterator[Web]:
    """Give the server of the config, as a server that is called by HTTP."""
    assert fhir.server is not None  # whoever calls has looked
    called = StowDestination(
        kind="stow", url=fhir.server, auth=fhir.auth, tls=fhir.tls, plain=fhir.plain,
        timeout_s=fhir.timeout_s,
    )  # fmt: skip
    with closing(Web(called, secrets.read)) as server:
        yield server


def _resource(job: Job, workshop: Workshop) -> dict[str, Any]:
    """Ask the front. Raises Later while it is not there, or its index is behind the ledger."""
    study = job.spec.series.study_instance_uid
    client = ControlClient(workshop.settings.node.data_dir / SOCKET_NAME)
    try:
        found = client.imaging_study(study)
    except Unreachable as fault:
        raise Later("the front is not there, which owns the index", FRONT_S) from fault
    known = workshop.ledger.studies.traits(study).instances
    waited_s = workshop.ledger.database.now() - job.created_at
    if (found or {}).get("numberOfInstances", 0) < known and waited_s < LAGGING_S:
        raise Later("the index is behind", INDEX_S)
    if found is None:
        raise Refused("the index has no such Study: `penumbra reindex`")
    return found


def _fault(server: str, answer: Answer) -> Refused | Busy:
    """Say what the server had against it: its codes alone, since its words may quote a patient."""
    words = f"{server} answered {answer.status}"
    if codes := _codes(answer.body):
        words += f" ({', '.join(codes)})"
    if answer.status in {408, 409, 423, 425}:
        return Busy(words)
    if answer.status == 412:
        words += ": it has several ImagingStudies of this Study; delete all but one there"
    return Refused(words)


def _codes(body: bytes) -> list[str]:
    """Read the codes of an OperationOutcome's issues; none of what is none."""
    try:
        told = json.loads(body)
        codes = [issue["code"] for issue in told["issue"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return [code for code in codes[:5] if isinstance(code, str) and _is_word(code)]


def _is_word(code: str) -> bool:
    return len(code) <= 40 and code.isascii() and code.replace("-", "").isalpha()
