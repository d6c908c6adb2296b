"""The template of delivered objects' names: what may stand in it, and what never may.

Names are read by many who may not see what is inside: logs, bills, links, listings. So only UIDs,
the Modality, the day of arrival and words of the config file itself make names (P6).
"""

import re
from string import Formatter
from typing import Final

from dicom.keywords import tag_for_keyword

DEFAULT: Final = "{StudyInstanceUID}/{SeriesInstanceUID}/{SOPInstanceUID}.dcm"
PLACEHOLDERS: Final = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Modality",
    "year",
    "month",
    "day",
    "rule",
    "destination",
)
_LITERAL: Final = re.compile(r"[A-Za-z0-9._=/ -]*")
_LONGEST: Final = 256


def problem(template: str) -> str:
    """Say, for the administrator, why a template cannot be used; "" where it can."""
    try:
        parsed = list(Formatter().parse(template))
    except ValueError:
        return "has a brace without its partner"
    names = [name for _, name, _, _ in parsed if name is not None]
    for name in names:
        if name not in PLACEHOLDERS:
            return _why_not(name)
    if any(form or conversion for _, _, form, conversion in parsed):
        return "holds a placeholder with a format or a conversion; write {year}, and no more"
    if not all(_LITERAL.fullmatch(text) for text, *_ in parsed):
        return "may hold letters, digits, space and . _ = - / beside placeholders"
    if "SOPInstanceUID" not in names:
        return "must hold {SOPInstanceUID}: without it, objects would share a name"
    return _shape(template)


def _why_not(name: str) -> str:
    known = ", ".join(PLACEHOLDERS)
    if name and tag_for_keyword(name) is not None:
        return (
            f"{name} may say who the patient is, and names are read by many: an object's name"
            f" holds only {known}"
        )
    return f"there is no placeholder {{{name}}}: there are {known}"


def _shape(template: str) -> str:
    parts = template.split("/")
    if any(not part or part.startswith(".") or part != part.strip() for part in parts):
        return "must not begin or end with /, or hold a part that is empty or begins with ."
    if not template.endswith(".dcm"):
        return "must end in .dcm"
    return f"is longer than {_LONGEST} characters" if len(template) > _LONGEST else ""
