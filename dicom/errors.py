"""The tree of faults: what each is called, whether to try again, what a peer hears.

A library's exception becomes a Fault in the one file that is that library's home. Faults are
caught in four places only: the listener, the web, the worker loop and the command line.
A message names UIDs, tags and settings, never a patient's data.
"""

from typing import ClassVar

from dicom import status
from dicom.abort import AbortReason


class Fault(Exception):  # noqa: N818  (the house's word)
    """Something that can go wrong and that the node knows how to answer."""

    code: ClassVar[str] = "fault"
    """A stable name for logs, metrics and `penumbra held`."""
    retry: ClassVar[bool] = False
    """Whether the same step may succeed later by itself."""
    status: ClassVar[int] = status.PROCESSING_FAILURE
    """The DIMSE status that a peer hears (PS3.7 Annex C)."""


class ConfigFault(Fault):
    """The config file cannot be used: every problem found, each with its path."""

    code = "config"

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{path}: {words}" for path, words in problems))


class ServiceFault(Fault):
    """A DIMSE request that the node must refuse."""

    code = "service"


class ProtocolFault(ServiceFault):
    """The peer broke the upper layer protocol; the association is aborted (PS3.8 9.3.8)."""

    code = "protocol"

    def __init__(self, words: str, reason: AbortReason = AbortReason.INVALID_PARAMETER) -> None:
        self.reason = reason
        super().__init__(words)


class SopClassNotSupported(ServiceFault):
    """Refused: SOP class not supported, 0x0122 (PS3.7 C.5.6)."""

    code = "sop-class-not-supported"
    status = status.SOP_CLASS_NOT_SUPPORTED


class InvalidSopInstance(ServiceFault):
    """Error: the SOP Instance UID in the command is no UID, 0x0117 (PS3.7 C.5.12)."""

    code = "invalid-sop-instance"
    status = status.INVALID_SOP_INSTANCE


class OutOfResources(ServiceFault):
    """Refused: out of resources, 0xA700 (PS3.4 B.2.3)."""

    code = "out-of-resources"
    retry = True
    status = status.OUT_OF_RESOURCES


class DoesNotMatch(ServiceFault):
    """Error: data set does not match SOP class, 0xA900 (PS3.4 B.2.3)."""

    code = "does-not-match"
    status = status.DOES_NOT_MATCH


class CannotUnderstand(ServiceFault):
    """Error: cannot understand, 0xC000 (PS3.4 B.2.3)."""

    code = "cannot-understand"
    status = status.CANNOT_UNDERSTAND


class NotAuthorised(ServiceFault):
    """Refused: not authorised, 0x0124 (PS3.7 C.5)."""

    code = "not-authorised"
    status = status.NOT_AUTHORISED


class MoveDestinationUnknown(ServiceFault):
    """Refused: move destination unknown, 0xA801 (PS3.4 C.4.2.1.5)."""

    code = "move-destination-unknown"
    status = status.MOVE_DESTINATION_UNKNOWN


class CannotCount(ServiceFault):
    """Refused: what a retrieval names cannot be counted now, 0xA701 (PS3.4 C.4.2.1.5)."""

    code = "cannot-count"
    retry = True
    status = status.UNABLE_TO_COUNT


class CannotPerform(ServiceFault):
    """Refused: sub-operations cannot be performed, 0xA702 (PS3.4 C.4.2.1.5)."""

    code = "cannot-perform"
    retry = True
    status = status.UNABLE_TO_PERFORM


class DeliveryFault(Fault):
    """A destination did not take what is owed."""

    code = "delivery"


class Unreachable(DeliveryFault):
    """Nobody answers there, or the answer broke off."""

    code = "unreachable"
    retry = True


class Busy(DeliveryFault):
    """The destination asks for patience (throttled, out of resources)."""

    code = "busy"
    retry = True


class Refused(DeliveryFault):
    """The destination says no and will say no again."""

    code = "refused"


class OriginalsAbsent(DeliveryFault):
    """A result may not go where the images that it is about are not."""

    code = "originals-absent"


class Misfit(Fault):
    """A result does not fit the originals that it is about, or breaks the standard."""

    code = "misfit"


class DeidFault(Fault):
    """De-identification could not finish; nothing may leave."""

    code = "deid"


class NotClean(DeidFault):
    """The output could not be proven clean of the patient's identity."""

    code = "not-clean"


class Invalid(DeidFault):
    """The object breaks rules of the standard, and its rule says that it shall be held then."""

    code = "invalid"


class InferenceFault(Fault):
    """A model gave no usable answer."""

    code = "inference"


class ModelUnavailable(InferenceFault):
    """The server or the model is not there at the moment."""

    code = "model-unavailable"
    retry = True


class Unsuitable(InferenceFault):
    """The Series is not what the model's contract asks for."""

    code = "unsuitable"


class BadAnswer(InferenceFault):
    """The model's answer breaks its contract."""

    code = "bad-answer"


class StorageFault(Fault):
    """The node's own disk lets it down."""

    code = "storage"
    status = status.OUT_OF_RESOURCES


class SpoolFull(StorageFault):
    """No room, or a failed sync: the sender keeps the object and tries again."""

    code = "spool-full"
    retry = True


class Corrupt(StorageFault):
    """Bytes on disk do not match their digest."""

    code = "corrupt"
    status = status.PROCESSING_FAILURE
