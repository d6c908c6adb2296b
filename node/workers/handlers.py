"""The table of handlers: one per kind of job that a worker process does.

What a kind needs is loaded at its first job: most nodes ask no model and feed no lake, and with
what those need a worker takes a third more memory, and a third longer to start.
"""

from collections.abc import Mapping
from typing import Final

from node.workers.commit import commit
from node.workers.forward import forward
from node.workers.loop import Handler
from node.workers.manifest import write_manifest
from node.workers.report import report
from node.workers.stage import stage
from node.workers.workshop import Done, Workshop
from routing.job import Job, Kind


def _infer(job: Job, workshop: Workshop) -> Done:
    from node.workers.infer import infer

    return infer(job, workshop)


def _export(job: Job, workshop: Workshop) -> Done:
    from node.workers.export import export

    return export(job, workshop)


def _tell(job: Job, workshop: Workshop) -> Done:
    from node.workers.fhir import tell

    return tell(job, workshop)


def load_models() -> None:
    """Load what asks models now: a radiologist waits for the first answer too."""
    import ai.pipeline  # noqa: F401
    import node.workers.infer  # noqa: F401


HANDLERS: Final[Mapping[Kind, Handler]] = {
    Kind.FORWARD: forward,
    Kind.REIDENTIFY: forward,
    Kind.INFER: _infer,
    Kind.COMMIT: commit,
    Kind.REPORT: report,
    Kind.STAGE: stage,
    Kind.MANIFEST: write_manifest,
    Kind.EXPORT: _export,
    Kind.FHIR: _tell,
}
"""An intake is filed again by the front, which owns the index (node/filing.py)."""
