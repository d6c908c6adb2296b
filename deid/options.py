"""The options of PS3.15 E.3: their names, codes, and columns of Table E.1-1.

An option changes what happens to the attributes of its column: K keeps them, C cleans them.
Options without a column (pixels, faces) decide about whole objects in `pixel_gate`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Option:
    """One option: how it is called here, in CID 7050, and in the table."""

    name: str
    code: str
    """Its code of CID 7050, scheme DCM (PS3.16)."""
    meaning: str
    column: str
    """Its column in `table/ps315_e1_1.json`; "" for one that has none."""


FULL_DATES: Final = "full-dates"
MODIFIED_DATES: Final = "modified-dates"
RETAIN_UIDS: Final = "retain-uids"
SAFE_PRIVATE: Final = "retain-safe-private"
PATIENT_CHARACTERISTICS: Final = "retain-patient-characteristics"
DEVICE: Final = "retain-device"
STRUCTURED_CONTENT: Final = "clean-structured-content"
GRAPHICS: Final = "clean-graphics"
DESCRIPTORS: Final = "clean-descriptors"
PIXEL_DATA: Final = "clean-pixel-data"
VISUAL_FEATURES: Final = "clean-visual-features"

_LONGITUDINAL: Final = "Retain Longitudinal Temporal Information"
_ALL: Final = (
    Option(PIXEL_DATA, "113101", "Clean Pixel Data Option", ""),
    Option(VISUAL_FEATURES, "113102", "Clean Recognizable Visual Features Option", ""),
    Option(GRAPHICS, "113103", "Clean Graphics Option", "graphics"),
    Option(STRUCTURED_CONTENT, "113104", "Clean Structured Content Option", "structured_content"),
    Option(DESCRIPTORS, "113105", "Clean Descriptors Option", "descriptors"),
    Option(FULL_DATES, "113106", f"{_LONGITUDINAL} Full Dates Option", "full_dates"),
    Option(MODIFIED_DATES, "113107", f"{_LONGITUDINAL} Modified Dates Option", "modified_dates"),
    Option(
        PATIENT_CHARACTERISTICS, "113108", "Retain Patient Characteristics Option", "patient_chars"
    ),
    Option(DEVICE, "113109", "Retain Device Identity Option", "device"),
    Option(RETAIN_UIDS, "113110", "Retain UIDs Option", "uids"),
    Option(SAFE_PRIVATE, "113111", "Retain Safe Private Option", "safe_private"),
    Option("retain-institution", "113112", "Retain Institution Identity Option", "institution"),
)
OPTIONS: Final = MappingProxyType({option.name: option for option in _ALL})
"""Every option by its name in the config, in the order of CID 7050."""

_PRECEDENCE: Final = (MODIFIED_DATES, FULL_DATES)
"""Where several columns speak about one attribute, these are heard first: a calibration date
that Retain Device Identity would keep still moves with every other date of the patient."""


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Bring options into the order of CID 7050, each once."""
    chosen = set(names)
    return tuple(name for name in OPTIONS if name in chosen)


def by_precedence(names: Iterable[str]) -> tuple[str, ...]:
    """Bring options into the order in which they are asked about an attribute."""
    chosen = in_order(names)
    first = tuple(name for name in _PRECEDENCE if name in chosen)
    return first + tuple(name for name in chosen if name not in first)


def problems(options: Iterable[str], without: Iterable[str], base: Iterable[str]) -> list[str]:
    """Say in words why options cannot be used together over those of a base; [] for none.

    `options` are added to the base's, `without` are taken away from them.
    """
    wanted, less, given = set(options), set(without), set(base)
    found = [
        f"option {name!r} is not known; there are: {', '.join(OPTIONS)}"
        for name in sorted((wanted | less) - OPTIONS.keys())
    ]
    found += [f"option {name!r} is both asked for and turned off" for name in sorted(wanted & less)]
    found += [
        f"option {name!r} is turned off, but the base does not turn it on"
        for name in sorted((less & OPTIONS.keys()) - given - wanted)
    ]
    if {FULL_DATES, MODIFIED_DATES} <= (given | wanted) - less:
        found.append(
            f"{FULL_DATES!r} and {MODIFIED_DATES!r} exclude each other: turn one off by `without`"
        )
    return found
