"""Which version of a model a patient's Series is asked of, when two are compared. Pure.

A patient always gets the same version, so that reports of one patient agree; who gets which is
told by nobody who has not the key.
"""

import hashlib
import hmac
from typing import Final

from config import secrets
from config.models import Model

_SPAN: Final = 2**64


def choose_version(settings: Model, patient: str, key: bytes) -> str:
    """Choose a version by [models.NAME] split; `version` for whoever has no share.

    `patient` is what identifies the patient, such as PatientID with its issuer. The shares stand
    side by side in [0, 1) in the order of the table: one that grows at the end keeps its patients.
    """
    if not settings.split:
        return settings.version
    words = f"{settings.model}\0{patient}".encode()
    drawn = hmac.new(key, words, hashlib.sha256).digest()
    point = int.from_bytes(drawn[:8], "big") / _SPAN
    reached = 0.0
    for version, share in settings.split.items():
        reached += share
        if point < reached:
            return version
    return settings.version


def version_of(settings: Model, patient: str) -> str:
    """Choose a version with the key that the config names. Raises ConfigFault without the key."""
    if not settings.split or settings.split_key is None:  # the config has both or none
        return settings.version
    return choose_version(settings, patient, secrets.read(settings.split_key))
