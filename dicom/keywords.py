"""The data dictionary by keyword (PS3.6), without the rest of pydicom.

To import pydicom is to import numpy and every codec that is installed: a sixth of a second, which
nobody who reads a config file or looks into the ledger shall wait for.
"""

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

_PACKAGE: Final = "pydicom"
_FILE: Final = "_dicom_dict.py"


@cache
def tags() -> Mapping[str, int]:
    """Give the tag of every keyword."""
    return MappingProxyType({entry[4]: tag for tag, entry in _entries().items()})


def tag_for_keyword(keyword: str) -> int | None:
    """Give a keyword's tag; None where there is no such keyword."""
    return tags().get(keyword)


def keyword_for_tag(tag: int) -> str:
    """Give a tag's keyword; "" where it has none."""
    entry = _entries().get(tag)
    return entry[4] if entry else ""


def vr_of_tag(tag: int) -> str:
    """Give a tag's VR, or several as "US or SS". Raises KeyError for one without a keyword."""
    return _entries()[tag][0]


def vm_of_tag(tag: int) -> str:
    """Give a tag's VM, such as "1" or "2-n". Raises KeyError for one without a keyword."""
    return _entries()[tag][1]


@cache
def _entries() -> Mapping[int, tuple[str, str, str, str, str]]:
    """Load the one file of pydicom that is the dictionary: VR, VM, name, retired, keyword."""
    package = importlib.util.find_spec(_PACKAGE)  # finds it, and imports nothing
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).with_name(_FILE)
    spec = importlib.util.spec_from_file_location("dicom._dictionary", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[int, tuple[str, str, str, str, str]] = module.DicomDictionary
    return found
