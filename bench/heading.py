"""Write on what machine and under what load a run was made; and sections of a document."""

from collections.abc import Sequence
from typing import Any

QUIET = 0.5
"""More than so much load before the start, and the numbers are marked."""


def is_loaded(machine: dict[str, Any]) -> bool:
    """Whether others kept the machine busy before the run began."""
    return float(machine["load_begin"]) > QUIET * float(machine["cores"])


def section(title: str, lines: Sequence[str]) -> str:
    """Write one section."""
    return "\n".join([f"### {title}", "", *lines])


def head(machine: dict[str, Any]) -> str:
    """Write what the numbers were found on."""
    names = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    mark = ""
    if is_loaded(machine):
        mark = "\n- **The machine was busy with other work: these numbers are provisional.**"
    return f"""\
- {machine["date"]}, commit {machine["commit"]}; medians, ratios within a turn.
- {machine["cores"]} cores of {machine["processor"]}, {machine["memory_bytes"] / 1e9:.0f} GB;
  {machine["system"]}, Linux {machine["kernel"]}; {machine["file_system"]}.
- {names}.
- Load (one minute) before the run {machine["load_begin"]:.2f}, at its end
  {machine["load_end"]:.2f}; the run took {machine["took_s"] / 60:.1f} minutes.{mark}
- Command: `{machine["command"]}`"""
