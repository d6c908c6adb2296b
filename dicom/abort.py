"""Why the upper layer aborts an association: the reasons of an A-ABORT PDU (PS3.8 9.3.8)."""

from enum import IntEnum
from typing import Final

FROM_PROVIDER: Final = 2
"""The source of an A-ABORT that the upper layer itself sends; only then does its reason count."""


class AbortReason(IntEnum):
    """What the service provider, source 2, says of an A-ABORT that it sends."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6
