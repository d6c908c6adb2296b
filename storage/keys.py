"""Names of delivered objects: made of UIDs and words of the config file, safe in every store."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from config.object_names import DEFAULT
from dicom.modality import is_modality
from storage.destinations.base import Outgoing

_LONGEST: Final = 64
_NUMBERS: Final = re.compile(r"[0-9]+(\.[0-9]+)+")
"""A UID, or one that only breaks PS3.5 9.1 by leading zeros, as some scanners' do."""
_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")
_OF_A_STUDY: Final = frozenset({"StudyInstanceUID", "destination"})


def object_key(outgoing: Outgoing, template: str = DEFAULT, destination: str = "") -> str:
    """Name an object by the template of its destination, with its UIDs as they leave.

    What is no UID becomes a digest: it can then neither climb folders nor hide, is
    never too long for a file name, and tells nobody whose name a scanner put there.
    """
    came = datetime.fromtimestamp(outgoing.received_at, UTC)
    modality = outgoing.modality
    return _filled(
        template,
        {
            "StudyInstanceUID": _safe(outgoing.study_instance_uid),
            "SeriesInstanceUID": _safe(outgoing.series_instance_uid),
            "SOPInstanceUID": _safe(outgoing.sop_instance_uid),
            "Modality": modality if is_modality(modality) else "other",
            "year": f"{came:%Y}",
            "month": f"{came:%m}",
            "day": f"{came:%d}",
            "rule": _word(outgoing.rule),
            "destination": _word(destination),
        },
    )


def conflict_key(key: str, digest: str) -> str:
    """Name another object that came under the same key, so that neither replaces the other."""
    return f"{key.removesuffix('.dcm')}-{digest[:12]}.dcm"


def study_folder(study_instance_uid: str, template: str = DEFAULT, destination: str = "") -> str:
    """Name the place for what is told of a Study as a whole.

    It is the Study's own folder where the template gives it one that depends on nothing else.
    """
    folders = template.split("/")[:-1]
    values = {"StudyInstanceUID": _safe(study_instance_uid), "destination": _word(destination)}
    for count, folder in enumerate(folders, 1):
        names = set(_PLACEHOLDER.findall(folder))
        if not names <= _OF_A_STUDY:
            break
        if "StudyInstanceUID" in names:
            return _filled("/".join(folders[:count]), values)
    return f"manifests/{values['StudyInstanceUID']}"


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)


def _safe(text: str) -> str:
    if len(text) <= _LONGEST and _NUMBERS.fullmatch(text):
        return text
    return "x" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _word(text: str) -> str:
    """Make a name of the config file fit for a path; two that are alike may become the same."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-") or "none"
