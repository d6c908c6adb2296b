"""Rules about devices: where they burn text into pixels, or that they never do.

A site's file comes before the one shipped here; the first rule that matches an object is the only
one that counts. Every fault of the files is told at once, with its place.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from deid.pixels import ocr
from deid.pixels.attributes import NUMBERS, TAGS
from deid.pixels.boxes import Box
from deid.pixels.matching import When, matches
from dicom.errors import ConfigFault

Found = Iterator[tuple[str, str]]
Corners = tuple[int | float, int | float, int | float, int | float]
Verdict = Literal["pass", "look", "refuse"]

ULTRASOUND_REGIONS: Final = "ultrasound-regions"
_KEYS: Final = frozenset({"name", "when", "blank", "keep", "clean", "refuse", "reason"})
_SIZED: Final = frozenset({"Rows", "Columns"})


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """What is known of the pixels of some devices."""

    name: str
    when: When
    reason: str
    blank: tuple[Corners, ...] = ()
    """x0, y0, x1, y1: all whole numbers are pixels, all with a point are parts of the image."""
    keep_regions: bool = False
    """Blank whatever lies outside of SequenceOfUltrasoundRegions, where there is one."""
    clean: bool = False
    """Nothing is burned in; the pixels are not read."""
    refuse: bool = False

    def boxes(self, columns: int, rows: int) -> tuple[Box, ...]:
        """Give the boxes to blank in an image of this size, in pixels."""
        return tuple(_pixels(corners, columns, rows) for corners in self.blank)


@dataclass(frozen=True, slots=True)
class ClassRule:
    """Whether images of a class are looked at."""

    when: When
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class PixelRules:
    """All rules in their order."""

    devices: tuple[DeviceRule, ...]
    classes: tuple[ClassRule, ...]
    digest: str
    """SHA-256 (hex) over every rule and the reader's version: a part of the profile's hash."""

    def device(self, facts: Mapping[str, tuple[str, ...]]) -> DeviceRule | None:
        """Find the first rule that an object's facts match."""
        return next((rule for rule in self.devices if matches(rule.when, facts)), None)


def read_rules(paths: Sequence[Path] = ()) -> PixelRules:
    """Read a site's files of device rules, and those shipped after them.

    Raises ConfigFault with everything that is wrong with the files.
    """
    problems: list[tuple[str, str]] = []
    rules: list[DeviceRule] = []
    for path in paths:
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except OSError as fault:
            problems.append((str(path), f"cannot be read: {fault.strerror}"))
        except (tomllib.TOMLDecodeError, UnicodeError) as fault:
            problems.append((str(path), f"is no TOML: {fault}"))
        else:
            problems += [(f"{path}: {place}", words) for place, words in faults(raw)]
            rules += [] if problems else _devices(raw)
    if problems:
        raise ConfigFault(problems)
    devices = (*rules, *_shipped_devices())
    return PixelRules(devices, classes(), _digest(devices))


def faults(raw: Mapping[str, Any]) -> Found:
    """Yield what is wrong with a file of device rules: its place, and words."""
    for key in raw.keys() - {"device"}:
        yield key, "is not known; each rule is a table [[device]]"
    listed = raw.get("device", [])
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        yield "device", "must be tables: write [[device]] above each rule"
        return
    for number, rule in enumerate(listed):
        yield from ((f"device[{number}]{place}", words) for place, words in _rule_faults(rule))


def _rule_faults(rule: Mapping[str, Any]) -> Found:
    for key in rule.keys() - _KEYS:
        near = get_close_matches(key, _KEYS, 1)
        yield f".{key}", f"is not known; did you mean {near[0]}?" if near else "is not known"
    for key in ("name", "reason"):
        if not isinstance(rule.get(key), str) or not rule[key].strip():
            yield (
                f".{key}",
                "is missing: say in words "
                + ("what the rule is called" if key == "name" else "why the rule may be trusted"),
            )
    for key in ("clean", "refuse"):
        if key in rule and rule[key] is not True:
            yield f".{key}", "is true or left out"
    if rule.get("keep", ULTRASOUND_REGIONS) != ULTRASOUND_REGIONS:
        yield ".keep", f'knows one value: "{ULTRASOUND_REGIONS}"'
    yield from _verb_faults(rule)
    yield from when_faults(rule.get("when"))
    yield from _box_faults(rule)


def _verb_faults(rule: Mapping[str, Any]) -> Found:
    verbs = sorted({"blank", "keep", "clean", "refuse"} & rule.keys())
    if not verbs:
        yield "", "does nothing: give it blank, keep, clean or refuse"
    elif len(verbs) > 1 and verbs != ["blank", "keep"]:
        yield "", f"has {' and '.join(verbs)}, which exclude each other"


def when_faults(when: Any) -> Found:
    """Yield what is wrong with the conditions of a rule."""
    if not isinstance(when, dict) or not when:
        yield ".when", 'is missing: a table such as { Manufacturer = "ACME*", Modality = "US" }'
        return
    for key, wanted in when.items():
        if key not in TAGS:
            near = get_close_matches(key, TAGS, 1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(TAGS)}"
            yield f".when.{key}", f"cannot be asked for; {hint}"
        listed = wanted if isinstance(wanted, list) else [wanted]
        kind: type = int if key in NUMBERS else str
        if not listed or not all(type(each) is kind for each in listed):
            word = "a whole number" if kind is int else "text"
            yield f".when.{key}", f"must be {word}, or a list of such"


def _box_faults(rule: Mapping[str, Any]) -> Found:
    boxes = rule.get("blank", [[0.0, 0.0, 1.0, 1.0]])
    if not isinstance(boxes, list) or not boxes:
        yield ".blank", "must be a list of boxes [x0, y0, x1, y1]"
        return
    for number, box in enumerate(boxes):
        if words := _box_words(box, rule.get("when")):
            yield f".blank[{number}]", words


def _box_words(box: Any, when: Any) -> str:
    kinds = {type(each) for each in box} if isinstance(box, list) and len(box) == 4 else set()
    if kinds not in ({int}, {float}):
        return "must be [x0, y0, x1, y1], four whole numbers (pixels) or four parts such as 0.5"
    if not (0 <= box[0] < box[2] and 0 <= box[1] < box[3]):
        return "must have x0 < x1 and y0 < y1, and none below zero"
    if kinds == {float}:
        return "" if max(box) <= 1 else "must not pass 1.0; pixels are whole numbers"
    if not isinstance(when, dict) or not when.keys() >= _SIZED:
        return "is in pixels, so `when` must name Rows and Columns; or give parts such as 0.5"
    sizes = [
        max(each) if isinstance(each, list) else each for each in (when["Columns"], when["Rows"])
    ]
    if all(isinstance(each, int) for each in sizes) and (box[2] > sizes[0] or box[3] > sizes[1]):
        return "reaches over the edge of the image that `when` names"
    return ""


def _devices(raw: Mapping[str, Any]) -> tuple[DeviceRule, ...]:
    return tuple(
        DeviceRule(
            name=each["name"],
            when=_when(each["when"]),
            reason=each["reason"],
            blank=tuple(tuple(box) for box in each.get("blank", ())),
            keep_regions="keep" in each,
            clean=each.get("clean", False),
            refuse=each.get("refuse", False),
        )
        for each in raw.get("device", ())
    )


def _when(raw: Mapping[str, Any]) -> When:
    listed = {key: each if isinstance(each, list) else [each] for key, each in raw.items()}
    return {key: tuple(str(each) for each in wanted) for key, wanted in listed.items()}


@cache
def _shipped_devices() -> tuple[DeviceRule, ...]:
    return _devices(_shipped("devices.toml"))


@cache
def classes() -> tuple[ClassRule, ...]:
    """Read the rules about classes of images."""
    raw = _shipped("classes.toml")
    return tuple(
        ClassRule(_when(each["when"]), each["verdict"], each["reason"]) for each in raw["class"]
    )


def _shipped(name: str) -> dict[str, Any]:
    return tomllib.loads((files("deid.pixels") / name).read_text("utf-8"))


def _digest(devices: Sequence[DeviceRule]) -> str:
    facts = {
        "devices": [asdict(each) for each in devices],
        "classes": [asdict(each) for each in classes()],
        "reader": ocr.edition(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _pixels(corners: Corners, columns: int, rows: int) -> Box:
    """Turn parts into pixels, rounding outwards."""
    if all(isinstance(each, int) for each in corners):
        return Box(*(int(each) for each in corners))
    x0, y0, x1, y1 = corners
    return Box(int(x0 * columns), int(y0 * rows), -int(-x1 * columns // 1), -int(-y1 * rows // 1))
