"""A de-identification profile, compiled: one decided action for each public attribute.

A profile is data (`profiles/*.toml`, node.toml) over data (`table/`). Compiling answers every
question ahead of the objects, so that the walk only looks up. What has no rule is removed.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import config.profiles
from deid import dates, exceptions, options, private, vocabulary
from deid.bases import Action, Base, read_base
from deid.identity import Stays
from deid.options import OPTIONS
from deid.pixels.rules import PixelRules, read_rules
from deid.private import SafeList
from deid.pseudonym import Pseudonyms, read_key
from deid.rules import Decision, Rules, TypeOf, build
from deid.table import table
from deid.table.dictionary import dictionary_vr
from deid.vocabulary import Vocabulary
from dicom.errors import ConfigFault
from dicom.iod.types import type_of

__all__ = ["KNOWN_OPTIONS", "Action", "Base", "Profile", "compile_profile", "read_base"]

KNOWN_OPTIONS: Final[frozenset[str]] = frozenset(OPTIONS)
"""Options of PS3.15 E.3 that this version can apply: all of them."""
ENGINE: Final = 3
"""Raised when the same rules begin to give other bytes."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled profile. Two with the same digest and key treat every object alike."""

    name: str
    rules: Rules
    digest: str
    """SHA-256 (hex) over every rule; the key and the name are no part of it."""
    pseudonyms: Pseudonyms = field(repr=False, compare=False)
    vocabulary: Vocabulary = field(repr=False)
    safe: SafeList = field(repr=False)
    """Private attributes that stay."""
    documents: str
    """What becomes of encapsulated documents: "refuse" or "replace"."""
    pixels: PixelRules | None = field(repr=False)
    """How burned-in text is found and removed; None where it is not."""
    reversible: bool
    stays: Stays = field(repr=False)
    """What is kept on purpose, and therefore not searched for."""

    @property
    def base(self) -> Base:
        """The shipped profile that this one builds on."""
        return self.rules.base

    @property
    def options(self) -> tuple[str, ...]:
        """The options in force, in the order of CID 7050."""
        return self.rules.options

    def has(self, option: str) -> bool:
        """Whether an option is in force."""
        return option in self.rules.options

    def decide(self, tag: int) -> Decision:
        """Decide about a public attribute; unknown ones are removed."""
        return self.rules.decide(tag)

    def action(self, tag: int) -> Action:
        """Say what happens to an attribute in an object of unknown IOD."""
        return Action.REMOVE if tag >> 16 & 1 else self.rules.decide(tag).action

    def method(self) -> tuple[str, ...]:
        """Say in words what was applied, for DeidentificationMethod (0012,0063)."""
        return (
            f"Penumbra: {table.EDITION} {self.base.title}"[:64],
            f"profile sha256 {self.digest[:32]}",
        )


def _rules(
    settings: config.profiles.Profile, path: str, type_of: TypeOf
) -> tuple[Rules, list[tuple[str, str]]]:
    """Lay a profile's settings over its base; problems come back with their paths."""
    base = read_base(settings.base)
    found = [
        (f"{path}.options", words)
        for words in options.problems(settings.options, settings.without, base.options)
    ]
    chosen = options.in_order((set(base.options) | set(settings.options)) - set(settings.without))
    read, wrong = exceptions.read(settings.exceptions, f"{path}.exceptions")
    return build(base, chosen, read, type_of), found + wrong


def _digest(rules: Rules, settings: config.profiles.Profile, extra: dict[str, str]) -> str:
    decisions = {
        f"{tag:08x}": f"{each.action.value} {each.codes} {each.option}"
        for tag, each in rules.decisions.items()
    }
    masked = [[mask, value, each.action.value] for mask, value, each in rules.masked]
    everything = {
        "engine": ENGINE,
        "edition": table.EDITION,
        "decisions": decisions,
        "masked": masked,
        "kinds": sorted(rules.base.kinds),
        "suspect": sorted(rules.base.suspect),
        "options": rules.options,
        "documents": settings.documents,
        "project": settings.project,
        # The same bytes, but evidence and receipts must tell whether a way back was kept.
        "reversible": settings.reversible,
        **extra,
    }
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()


def _vocabulary(file: Path | None, path: str) -> tuple[Vocabulary, list[tuple[str, str]]]:
    try:
        return vocabulary.with_own_words(file), []
    except (OSError, UnicodeError) as fault:
        words = f"{file} cannot be read as UTF-8 text ({type(fault).__name__})"
        return vocabulary.shipped(), [(f"{path}.vocabulary", words)]


def _pixels(
    rules: Rules, file: Path | None, path: str
) -> tuple[PixelRules | None, list[tuple[str, str]]]:
    """Read the rules for burned-in text, where it is to be cleaned."""
    if options.PIXEL_DATA not in rules.options:
        words = f"decides nothing without the option {options.PIXEL_DATA}"
        return None, [(f"{path}.device_rules", words)] if file else []
    try:
        return read_rules([file] if file else []), []
    except ConfigFault as fault:
        return None, [(f"{path}.device_rules", f"{at}: {words}") for at, words in fault.problems]


def compile_profile(
    name: str, settings: config.profiles.Profile, key: bytes, *, type_of: TypeOf = type_of
) -> Profile:
    """Compile the profile `[profiles.NAME]` with its secret, as it was read.

    Raises ConfigFault with all that is wrong: options that do not go together, exceptions that
    cannot be carried out, files that cannot be read, a weak key.
    """
    compiled = _compile(f"profiles.{name}", settings, type_of)
    found = list(compiled.problems)
    try:
        secret = read_key(key)
    except ValueError as fault:
        found.append((f"profiles.{name}.key", str(fault)))
    if found:
        raise ConfigFault(found)
    return Profile(
        name,
        compiled.rules,
        compiled.digest,
        Pseudonyms(secret, settings.project),
        compiled.vocabulary,
        compiled.safe,
        settings.documents,
        compiled.pixels,
        settings.reversible,
        _stays(compiled.rules),
    )


def rules_and_digest(name: str, settings: config.profiles.Profile) -> tuple[Rules, str]:
    """Compile a profile without its key, for showing it. Raises ConfigFault as above."""
    compiled = _compile(f"profiles.{name}", settings, type_of)
    if compiled.problems:
        raise ConfigFault(list(compiled.problems))
    return compiled.rules, compiled.digest


@dataclass(frozen=True, slots=True)
class _Compiled:
    rules: Rules
    digest: str
    vocabulary: Vocabulary
    safe: SafeList
    pixels: PixelRules | None
    problems: tuple[tuple[str, str], ...]


def _compile(path: str, settings: config.profiles.Profile, type_of: TypeOf) -> _Compiled:
    rules, found = _rules(settings, path, type_of)
    words, wrong = _vocabulary(settings.vocabulary, path)
    pixels, broken = _pixels(rules, settings.device_rules, path)
    safe = private.load() if options.SAFE_PRIVATE in rules.options else private.NOTHING
    extra = {
        "vocabulary": words.digest(),
        "private": safe.digest(),
        "pixels": pixels.digest if pixels else "",
    }
    digest = _digest(rules, settings, extra)
    return _Compiled(rules, digest, words, safe, pixels, (*found, *wrong, *broken))


def _stays(rules: Rules) -> Stays:
    """Say what the rules keep although it could identify."""
    kept = {
        tag
        for tag, each in rules.decisions.items()
        if each.action is Action.KEEP and (each.option or each.is_site)
    }
    dated = {Action.KEEP, Action.SHIFT}
    return Stays(
        uids=rules.base.kinds | kept,
        all_uids=options.RETAIN_UIDS in rules.options,
        tags=frozenset(kept),
        dates=options.FULL_DATES in rules.options,
        dated=any(
            each.action in dated and dictionary_vr(tag) in dates.VRS
            for tag, each in rules.decisions.items()
        ),
        all_moved=options.MODIFIED_DATES in rules.options
        and not any(dictionary_vr(tag) in {"DA", "DT"} for tag in kept),
    )
