"""What a specialty's pipeline is: its phantom, its models, its rule, and what must be found."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ai import server


@dataclass(frozen=True, slots=True)
class Number:
    """A number that a report must hold, by the code value of its name."""

    code: str
    words: str
    truth: float
    within: float
    """How far it may be off: in its own unit, or in percent of the truth."""
    is_percent: bool = False
    decimals: int = 1

    def holds(self, found: float) -> bool:
        """Whether a found number is near enough to the truth."""
        room = self.within * abs(self.truth) / 100 if self.is_percent else self.within
        return abs(found - self.truth) <= room

    @property
    def tolerance(self) -> str:
        """The room in words."""
        return f"within {self.within:g} %" if self.is_percent else f"within {self.within:g}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding that a report must call present or absent, by the code value of its name."""

    code: str
    words: str
    truth: bool


@dataclass(frozen=True, slots=True)
class Material:
    """A phantom's files, and what the reports about it must say."""

    folder: Path
    """Every .dcm file under it is sent."""
    study_instance_uid: str
    expected: tuple[Number | Verdict, ...]
    identity: tuple[str, ...] = ()
    """The patient's values and the phantom's UIDs."""


@dataclass(frozen=True, slots=True)
class Specialty:
    """One pipeline. `write` makes the phantom in a folder of its own."""

    name: str
    """What the command line calls it."""
    sentence: str
    models: tuple[str, ...]
    """Folders of ai/serving/repository; each is also [models.NAME] in the node's config."""
    when: str
    """The rule's condition, as a TOML inline table."""
    write: Callable[[Path], Material]
    objects: Mapping[str, int] = field(default_factory=lambda: {"SR": 1})
    """How many objects of each Modality the PACS must get, at least."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Further lines of [models.NAME], by model."""


def tables(specialties: Sequence[Specialty], endpoint: str) -> str:
    """Write the node's tables of models and rules; the destination is called "pacs"."""
    lines = []
    for one in specialties:
        for model in one.models:
            lines += [f"[models.{model}]", f'endpoints = ["{endpoint}"]', f'model = "{model}"']
            lines += [one.keys[model]] if model in one.keys else []
    for one in specialties:
        names = ", ".join(f'"{model}"' for model in one.models)
        lines += ["[[rules]]", f'name = "{one.name}"', "priority = 1", f"when = {one.when}"]
        # Results go only where the images are: they are sent first.
        lines += ['send = ["pacs"]', f"infer = [{names}]", 'results_to = ["pacs"]']
    return "\n".join(lines) + "\n"


def repository(folder: Path, specialties: Sequence[Specialty], *more: str) -> Path:
    """Link the models that are needed into a folder: each that is served costs a process."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for model in sorted({*more, *(model for one in specialties for model in one.models)}):
        (folder / model).symlink_to(server.REFERENCE_REPOSITORY / model)
    return folder
