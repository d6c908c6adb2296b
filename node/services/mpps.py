"""Modality Performed Procedure Step: hear of steps, and know from them what is to come (PS3.4 F.7).

Of a step the node keeps its state and the UIDs of what was made; what it says of the patient is not
read. A completed step names the Instances of each Series, and completeness waits for them.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.dimse_primitives import N_CREATE, N_SET
from pynetdicom.presentation import PresentationContext, build_context

from config.model import Permission, Settings
from dicom import mpps, status, uid
from dicom.errors import InvalidSopInstance, NotAuthorised
from dicom.mpps import MPPS, Change, Status, Step
from dicom.normalized import NoSuchSopClass
from node.admission import may, table_of
from node.services.answers import Response, answered
from node.services.table import Handler
from storage.ledger.expectations import Expected

log = structlog.get_logger()


class Steps(Protocol):
    """Where steps are kept: the ledger."""

    def create(self, sop_instance_uid: str, step: Step, peer: str, now: float) -> None:
        """Write a step down. Raises DuplicateInstance."""

    def change(self, sop_instance_uid: str, by: Change, now: float) -> Step:
        """Change a step, and give it as it is now. Raises NoSuchInstance and others."""


class Announcements(Protocol):
    """Where it is noted what is to come: the ledger."""

    def note(self, announced: Sequence[Expected], now: float) -> None:
        """Write announcements down."""


class MppsService:
    """Answers N-CREATE and N-SET. One object serves every association."""

    permission: Permission | None = "mpps"

    def __init__(
        self,
        settings: Settings,
        steps: Steps,
        announcements: Announcements,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._steps = steps
        self._announcements = announcements
        self._clock = clock

    def contexts(self) -> Sequence[PresentationContext]:
        """Accept the SOP Class in both uncompressed little endian syntaxes."""
        return [build_context(MPPS, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]

    def handlers(self) -> Sequence[Handler]:
        """Bind N-CREATE and N-SET."""
        return [(evt.EVT_N_CREATE, self._on_create), (evt.EVT_N_SET, self._on_set)]

    def _on_create(self, event: evt.Event) -> Response:
        return answered("procedure step refused", event, self._create)

    def _create(self, event: evt.Event, caller: str) -> Response:
        asked = event.request
        assert isinstance(asked, N_CREATE)  # as it is bound
        self._admit(caller, str(asked.AffectedSOPClassUID))
        given = asked.AffectedSOPInstanceUID
        name = str(given) if given else uid.from_digest(secrets.token_bytes(16))
        if not uid.is_storable(name):
            raise InvalidSopInstance("the Affected SOP Instance UID is no UID")
        listed = asked.AttributeList
        dataset = listed.getvalue() if listed is not None else b""
        step = mpps.created(dataset, str(event.context.transfer_syntax))
        self._steps.create(name, step, caller, self._clock())
        log.info("procedure step", calling_ae=caller, step=uid.told(name), state=str(step.status))
        answer = Dataset()
        if not given:
            answer.AffectedSOPInstanceUID = name
        return status.SUCCESS, answer

    def _on_set(self, event: evt.Event) -> Response:
        return answered("procedure step refused", event, self._set)

    def _set(self, event: evt.Event, caller: str) -> Response:
        asked = event.request
        assert isinstance(asked, N_SET)  # as it is bound
        self._admit(caller, str(asked.RequestedSOPClassUID))
        listed = asked.ModificationList
        dataset = listed.getvalue() if listed is not None else b""
        by = mpps.change(dataset, str(event.context.transfer_syntax))
        name = str(asked.RequestedSOPInstanceUID)
        step = self._steps.change(name, by, self._clock())
        if step.status is Status.COMPLETED:
            self._announcements.note(announced(step), self._clock())
        log.info(
            "procedure step",
            calling_ae=caller,
            step=uid.told(name),
            state=str(step.status),
            series=len(step.series),
        )
        return status.SUCCESS, None

    def _admit(self, caller: str, sop_class_uid: str) -> None:
        if not may(self._settings, caller, "mpps"):
            raise NotAuthorised(f'{table_of(caller)} lacks may = ["mpps"]')
        if sop_class_uid != MPPS:
            raise NoSuchSopClass("the SOP Class UID is not that of performed procedure steps")


def announced(step: Step) -> list[Expected]:
    """Say which Instances a completed step has made; nothing where its Study is not certain.

    A step for several Studies does not say which Series belongs to which.
    """
    if len(step.studies) != 1:
        return []
    return [
        Expected(
            step.studies[0],
            each.series_instance_uid,
            "mpps",
            len(each.sop_instance_uids),
            each.sop_instance_uids,
        )
        for each in step.series
        if each.sop_instance_uids
    ]
