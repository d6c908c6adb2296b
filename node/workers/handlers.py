"""The table of handlers: one per kind of job that a worker process does."""

from collections.abc import Mapping
from typing import Final

from node.workers.commit import commit
from node.workers.export import export
from node.workers.fhir import tell
from node.workers.forward import forward
from node.workers.infer import infer
from node.workers.loop import Handler
from node.workers.manifest import write_manifest
from node.workers.report import report
from node.workers.stage import stage
from routing.job import Kind

HANDLERS: Final[Mapping[Kind, Handler]] = {
    Kind.FORWARD: forward,
    Kind.REIDENTIFY: forward,
    Kind.INFER: infer,
    Kind.COMMIT: commit,
    Kind.REPORT: report,
    Kind.STAGE: stage,
    Kind.MANIFEST: write_manifest,
    Kind.EXPORT: export,
    Kind.FHIR: tell,
}
"""An intake is filed again by the front, which owns the index (node/filing.py)."""
