"""Describe a profile in plain data, so that evidence can say later what its digest meant."""

from typing import Final

import config.profiles
from deid.parse import name
from deid.profile import Profile
from deid.table import table

_COPIED: Final = ("base", "project", "documents", "reversible")


def describe(profile: Profile, settings: config.profiles.Profile) -> dict[str, object]:
    """Describe a compiled profile and the settings that it was made from; keys stay out.

    The words of a site's vocabulary stay out as well: the digest covers them.
    """
    raw = settings.model_dump(mode="json", include={*_COPIED, "exceptions"})
    return {
        **{setting: raw[setting] for setting in _COPIED},
        "name": profile.name,
        "digest": profile.digest,
        "title": profile.base.title,
        "edition": table.EDITION,
        "options": sorted(profile.options),
        "without": sorted(settings.without),
        "option_reasons": {
            each: words for each, words in profile.base.options.items() if each in profile.options
        },
        "exceptions": raw["exceptions"],
        "departures": [
            {"tag": name(tag), "action": str(profile.base.actions[tag]), "reason": words}
            for tag, words in sorted(profile.base.reasons.items())
        ],
        "vocabulary": settings.vocabulary is not None,
        "device_rules": settings.device_rules is not None,
    }
