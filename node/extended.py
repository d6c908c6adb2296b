"""Answer SOP class extended negotiation: the options of a service that the node grants (PS3.4 C.5).

pynetdicom asks one handler for all services. Each byte of an item stands for one option; what is
not granted is answered with 0, and an item of a service that has no options with nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

from dicom import options
from dicom.retrieve import GET_MODELS, MOVE_MODELS
from dicom.uid import PATIENT_ROOT_FIND, PATIENT_STUDY_ONLY_FIND, STUDY_ROOT_FIND

_RELATIONAL: Final = b"\1"
_EMPTY_VALUES: Final = b"\0\1"
"""No conversion of enhanced objects, but empty value matching, which is there unasked too."""
GRANTED: Final[Mapping[str, bytes]] = {
    **dict.fromkeys((*MOVE_MODELS, *GET_MODELS), _RELATIONAL),
    **dict.fromkeys(
        (PATIENT_ROOT_FIND, STUDY_ROOT_FIND, PATIENT_STUDY_ONLY_FIND),
        options.ALL.encoded + _EMPTY_VALUES,
    ),
}
"""By SOP Class UID, the options that are granted to whoever asks for them."""


def grant(asked: bytes, granted: bytes) -> bytes:
    """Answer one item, as long as it was asked."""
    return bytes(one & other for one, other in zip(asked, granted.ljust(len(asked), b"\0")))  # noqa: B905  (no longer than asked)


def answer(event: Any) -> dict[str, bytes]:
    """Answer all items of an association request: pynetdicom's event EVT_SOP_EXTENDED."""
    return {
        str(uid): grant(asked, GRANTED[uid])
        for uid, asked in event.app_info.items()
        if uid in GRANTED
    }
