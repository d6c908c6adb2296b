"""Tell a head in DICOM JSON by its difference from another: those of a Series have most in common.

A difference is a JSON Merge Patch (RFC 7396), so that the index's own SQL can undo it.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from dicom.json_text import Parts, head_text

_KEYS: Final = ("Value", "InlineBinary", "BulkDataURI")
_WORTH: Final = 0.5
"""A difference longer than this share of the head is no gain."""


def patch_text(base: Parts, own: Parts) -> str | None:
    """Write what turns one head into another; None where that is no gain."""
    changed = [
        _replacing(base.get(tag), text) for tag, text in own.items() if base.get(tag) != text
    ]
    changed += [f'"{tag:08X}":null' for tag in base.keys() - own.keys()]
    text = f"{{{','.join(changed)}}}"
    return text if len(text) < _WORTH * len(head_text(own)) else None


def _replacing(former: str | None, text: str) -> str:
    """Write an element so that nothing of the former one shows through."""
    told = _key(text)
    shown = _key(former) if former is not None else ""
    if not shown or shown == told:
        return text
    return f'{text[:-1]},"{shown}":null}}'


def _key(text: str) -> str:
    """Name the member that holds an element's value: `"0020000D":{"vr":"UI","Value":...}`."""
    after_vr = text[22:]
    return next((key for key in _KEYS if after_vr.startswith(f'"{key}"')), "")


def patched(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Undo a difference, read from its text; neither of the two is changed."""
    whole = {tag: element for tag, element in base.items() if tag not in patch}
    for tag, element in patch.items():
        if element is not None:
            whole[tag] = {key: value for key, value in element.items() if value is not None}
    return dict(sorted(whole.items()))


def read(text: str) -> dict[str, Any]:
    """Read the text of a head or of a difference."""
    found: dict[str, Any] = json.loads(text)
    return found
