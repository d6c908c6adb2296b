"""Faults of the normalized services: N-ACTION, N-EVENT-REPORT, N-CREATE, N-SET (PS3.7 Annex C)."""

from typing import Final

from dicom.errors import ServiceFault

MAY_NO_LONGER_BE_UPDATED: Final = 0xA710
"""The Error ID beside 0x0110 for a procedure step that is over (PS3.4 Table F.7.2-2)."""


class InvalidAttributeValue(ServiceFault):
    """An attribute has a value that it cannot have here, 0x0106."""

    code = "invalid-attribute-value"
    status = 0x0106


class DuplicateInstance(ServiceFault):
    """The SOP Instance is there already, 0x0111."""

    code = "duplicate-instance"
    status = 0x0111


class NoSuchInstance(ServiceFault):
    """The SOP Instance is not known, 0x0112."""

    code = "no-such-instance"
    status = 0x0112


class NoSuchEventType(ServiceFault):
    """The SOP Class has no such event, 0x0113."""

    code = "no-such-event-type"
    status = 0x0113


class InvalidArgument(ServiceFault):
    """An argument is missing or cannot be used, 0x0115."""

    code = "invalid-argument"
    status = 0x0115


class NoSuchSopClass(ServiceFault):
    """The SOP Class is not the one that the service is about, 0x0118."""

    code = "no-such-sop-class"
    status = 0x0118


class MissingAttribute(ServiceFault):
    """A required attribute is absent, 0x0120."""

    code = "missing-attribute"
    status = 0x0120


class MissingAttributeValue(ServiceFault):
    """A required attribute is empty, 0x0121."""

    code = "missing-attribute-value"
    status = 0x0121


class NoSuchAction(ServiceFault):
    """The SOP Class has no such action, 0x0123."""

    code = "no-such-action"
    status = 0x0123


class ResourceLimitation(ServiceFault):
    """The request is larger than the node takes, 0x0213."""

    code = "resource-limitation"
    status = 0x0213


class NoLongerUpdated(ServiceFault):
    """The procedure step is over, 0x0110 with its Error ID (PS3.4 F.7.2.2.4)."""

    code = "no-longer-updated"
    error_id: int = MAY_NO_LONGER_BE_UPDATED
