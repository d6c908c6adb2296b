"""The shape of the [profiles.NAME] tables, and of the [vault] that reversible ones need."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from config.shapes import Secret, Table
from config.sharing import ServerUrl

Option = Literal[
    "retain-uids",
    "retain-safe-private",
    "retain-device",
    "retain-institution",
    "retain-patient-characteristics",
    "full-dates",
    "modified-dates",
    "clean-descriptors",
    "clean-structured-content",
    "clean-graphics",
    "clean-pixel-data",
    "clean-visual-features",
]
"""The options of PS3.15 E.3, in the order of Table E.1-1's columns."""


class ProfileException(Table):
    """One attribute that a site treats otherwise than its profile does, and why."""

    tag: str
    """A keyword, or a tag as "0010,1010"."""
    action: Literal["remove", "empty", "dummy", "keep", "clean", "uid", "pseudonym", "refuse"]
    reason: Annotated[str, Field(min_length=1)]


class Profile(Table):
    """A de-identification profile: a base, PS3.15 options by name, and its pseudonym key."""

    base: Literal["basic", "research", "trial", "teaching"] = "basic"
    options: tuple[Option, ...] = ()
    """Beside those that the base turns on."""
    without: tuple[Option, ...] = ()
    """Options of the base to turn off."""
    key: Secret
    project: str = ""
    """Pseudonyms of two projects differ, also under one key."""
    exceptions: tuple[ProfileException, ...] = ()
    vocabulary: Path | None = None
    """Words, one a line, that cleaned text may keep beside the usual ones."""
    device_rules: Path | None = None
    """Where devices burn text into pixels."""
    documents: Literal["refuse", "replace"] = "refuse"
    """What becomes of encapsulated documents, which nobody can look into."""
    reversible: bool = False
    """Whether the vault keeps the way back."""


class Vault(Table):
    """The key of the vault, in which reversible profiles keep the way back, and where it lies."""

    key: Secret
    old_keys: tuple[Secret, ...] = ()
    url: ServerUrl | None = None
    """On PostgreSQL, or without it as SQLite in data_dir."""
    password: Secret | None = None
