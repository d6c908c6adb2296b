"""Report to a peer, on an association of our own, what came of its request for commitment."""

from typing import Final

from dicom import commitment_wire, status
from dicom.commitment import STORAGE_COMMITMENT
from dicom.errors import Busy, Refused, Unreachable
from dicom.normalized import ResourceLimitation
from node.calling import calling
from node.workers.workshop import Done, Workshop
from routing.job import Job
from storage.ledger.commitments import State

TIMEOUT_S: Final = 30.0
"""How long each answer of the peer may take."""


def report(job: Job, workshop: Workshop) -> Done:
    """Send N-EVENT-REPORT to who asked, as the SCP of that association (PS3.4 J.3.3).

    Raises Refused where the config does not say how to call it or it refuses, Busy or
    Unreachable where trying again may help.
    """
    room, peer = workshop.ledger.commitments, job.spec.target
    asked = room.get(int(job.spec.digest))
    if asked is None or asked.state is State.REPORTED:
        return Done("reported before, or too old to tell")
    with calling(
        workshop.settings,
        peer,
        commitment_wire.contexts(),
        timeout_s=TIMEOUT_S,
        provides=[STORAGE_COMMITMENT],
    ) as association:
        code = commitment_wire.tell(association, asked.report(), TIMEOUT_S)
    if code is None:
        raise Unreachable(f"{peer} ended the association before it answered the report")
    if code == ResourceLimitation.status:
        raise Busy(f"{peer} answered the report 0x{code:04X}")
    if code != status.SUCCESS and not status.is_warning(code):
        raise Refused(f"{peer} answered the report 0x{code:04X}")
    room.reported(asked.id, workshop.ledger.database.now())
    failed = len(asked.failures)
    return Done(f"{len(asked.request.references) - failed} committed, {failed} failed")
