"""Ask a destination, a model or the FHIR server whether it is there."""

from contextlib import closing

import structlog

from config.fhir import TARGET
from config.model import Settings
from dicom.errors import Fault
from node.destinations import destination

log = structlog.get_logger()


def can_be_asked(settings: Settings, target: str) -> bool:
    """Whether a job's target is something that the config names, and not something else."""
    return (
        target in settings.destinations
        or target in settings.models
        or (target == TARGET and settings.fhir.server is not None)
    )


def ask(settings: Settings, target: str) -> Fault | None:
    """Ask a target whether a job would fail now; gives why, or None when it is there.

    Safe to call from any thread: what it opens is its own. What the config has no more is there, so
    that its jobs come to be held with words.
    """
    try:
        if target in settings.destinations:
            with closing(destination(settings, target)) as place:
                place.check()
        elif target in settings.models:
            from ai.pipeline import Pool  # only who has models takes the time to load it

            with closing(Pool()) as pool:
                pool.check(settings.models[target])
        elif target == TARGET and settings.fhir.server is not None:
            from node.workers.fhir import ask_server

            ask_server(settings)
    except Fault as fault:
        return fault
    except Exception as bug:  # a bug in asking shall not keep the jobs, which show it better
        log.error("target not asked", target=target, exc_info=bug)
    return None
