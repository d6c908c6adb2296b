"""Decide whether an image's pixels may pass, must be looked at, or must not leave at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deid.pixels.matching import matches
from deid.pixels.rules import ClassRule, DeviceRule, Verdict

_UNLISTED: Final = "no rule says that such images bear no text"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an image's pixels, and why in words."""

    verdict: Verdict
    reason: str
    must_find: bool = False
    """The object itself says that text is burned in: finding none proves nothing."""


def decide(
    facts: Mapping[str, tuple[str, ...]],
    classes: Sequence[ClassRule],
    device: DeviceRule | None,
) -> Decision:
    """Weigh what an object says of itself and what is known of its class and its device.

    `facts` are of `attributes.facts`. A refusal comes first, of the class or of the device. What
    a device's rule calls clean passes, unless the object says that text is burned in. No
    BurnedInAnnotation = NO turns a look into a pass.
    """
    rule = next((each for each in classes if matches(each.when, facts)), None)
    verdict, reason = (rule.verdict, rule.reason) if rule else ("look", _UNLISTED)
    if verdict == "refuse":
        return Decision("refuse", reason)
    if device is not None and device.refuse:
        return Decision("refuse", f"rule {device.name!r}: {device.reason}")
    says_yes = any(value.upper() == "YES" for value in facts.get("BurnedInAnnotation", ()))
    if says_yes:
        return Decision("look", "BurnedInAnnotation is YES", must_find=True)
    if device is not None and device.clean:
        return Decision("pass", f"rule {device.name!r}: {device.reason}")
    return Decision(verdict, reason)
