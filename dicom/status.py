"""DIMSE status codes by name (PS3.7 Annex C, PS3.4 B.2.3, C.4.1.1.4, C.4.2.1.5)."""

from typing import Final

SUCCESS: Final = 0x0000
PENDING: Final = 0xFF00
PENDING_WITH_UNSUPPORTED_KEYS: Final = 0xFF01
CANCELLED: Final = 0xFE00
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_SOP_INSTANCE: Final = 0x0111
INVALID_SOP_INSTANCE: Final = 0x0117
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
NOT_AUTHORISED: Final = 0x0124
OUT_OF_RESOURCES: Final = 0xA700
UNABLE_TO_COUNT: Final = 0xA701
UNABLE_TO_PERFORM: Final = 0xA702
MOVE_DESTINATION_UNKNOWN: Final = 0xA801
DOES_NOT_MATCH: Final = 0xA900
SOME_FAILED: Final = 0xB000
CANNOT_UNDERSTAND: Final = 0xC000


def is_success(code: int) -> bool:
    """Whether a C-STORE response says that the object was stored, warnings included.

    What a peer's answer means for an object of ours is in store_answer.py.
    """
    return code == SUCCESS or is_warning(code)


def is_warning(code: int) -> bool:
    """Whether a code is a warning of C-STORE (PS3.4 Table B.2-1): stored, but coerced or odd."""
    return 0xB000 <= code <= 0xBFFF
