"""What the HTTP port serves beside the API: DICOMweb and the viewer, out of the front's parts."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.model import Settings
from dicom.context import storage_contexts
from node.conversation import AssociationWatcher
from node.front_retrieve import Retrievals
from node.services.store import Receiver
from node.web.dicomweb.body import Disk
from node.web.dicomweb.capabilities import capability_routes
from node.web.dicomweb.qido import Released, Search, Searchable
from node.web.dicomweb.retrieving import wado_routes
from node.web.dicomweb.routes import search_routes, store_routes
from node.web.dicomweb.stow import Store, StoreParts, titles_of
from node.web.guard import Record, Routes
from node.web.tokens import Tokens
from node.web.viewer import viewer_routes


@dataclass(frozen=True, slots=True)
class WebParts:
    """What of the front is asked over HTTP."""

    index: Searchable
    released: Released
    receiver: Receiver
    disk: Disk
    watchers: Sequence[AssociationWatcher]
    record: Record
    retrieved: Retrievals


def web_routes(settings: Settings, tokens: Tokens, parts: WebParts) -> Routes:
    """Make the routes; none without tokens."""
    if not tokens:
        return []
    behind_proxy = settings.http.behind_proxy
    contexts = storage_contexts(settings.node.private_sop_classes)
    store = StoreParts(
        parts.receiver,
        parts.disk,
        parts.watchers,
        frozenset(str(each.abstract_syntax) for each in contexts),
        settings.node.ae_title,
        titles_of(settings.tokens),
        settings.node.data_dir,
        behind_proxy=behind_proxy,
    )
    return [
        *search_routes(tokens, Search(parts.index, parts.released, behind_proxy=behind_proxy)),
        *wado_routes(
            tokens,
            parts.retrieved.originals,
            parts.retrieved.transcoding,
            parts.index,
            behind_proxy=behind_proxy,
        ),
        *store_routes(tokens, Store(store), parts.record),
        *capability_routes(tokens),
        *viewer_routes(tokens, settings.http.viewer),
    ]
