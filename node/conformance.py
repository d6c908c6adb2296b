"""Render docs/conformance.md: its prose as it stands, its tables from what the code says; pure."""

from config.model import Settings
from node import conformance_answers as answers
from node import conformance_limits as limits
from node import conformance_normalized as normalized
from node import conformance_query as queries
from node import conformance_retrieve as retrieval
from node import conformance_services as services
from node import conformance_wado as wado
from node import conformance_web as web
from node import conformance_worklist as worklist
from node.conformance_markdown import filled


def tables(settings: Settings) -> dict[str, str]:
    """Render every table, by the name of its place in the document.

    The document in the repository shows the defaults; with a site's settings it shows the site's
    titles, ports, limits and private SOP classes.
    """
    return {
        "services": services.overview(settings),
        "identity": services.identity(),
        "accepted-contexts": services.accepted_contexts(settings),
        "proposed-contexts": services.proposed_contexts(),
        "classes": services.classes(settings),
        "transfer-syntaxes": services.transfer_syntaxes(),
        "character-sets": services.character_sets(),
        "confidentiality": services.confidentiality(),
        "rejections": answers.rejections(),
        "refusals": answers.refusals(),
        "store-statuses": answers.store_statuses(),
        "heard-statuses": answers.heard_statuses(),
        "find-statuses": answers.find_statuses(),
        "commitment-statuses": normalized.action_statuses(),
        "commitment-reasons": normalized.reasons(),
        "commitment-report-statuses": normalized.report_statuses(),
        "step-states": normalized.step_states(),
        "step-statuses": normalized.step_statuses(),
        "worklist-needed": worklist.needed(),
        "worklist-keys": worklist.keys(),
        "worklist-statuses": worklist.statuses(),
        "retrieve-models": retrieval.models(),
        "retrieve-statuses": retrieval.statuses(),
        "models": queries.models(),
        "levels": queries.levels(),
        "keys": queries.keys(),
        "sequences": queries.sequences(),
        "negotiation": queries.negotiation(),
        "web-searches": web.searches(),
        "web-store-answers": web.store_answers(),
        "web-store-reasons": web.store_reasons(),
        "wado-resources": wado.resources(),
        "wado-frames": wado.frames(),
        "local-titles": limits.local_titles(settings),
        "remote-titles": limits.remote_titles(settings),
        "associations": limits.associations(settings),
        "time-outs": limits.time_outs(settings),
    }


def statement(document: str, settings: Settings) -> str:
    """Give the document with every table rendered anew.

    Raises CannotUnderstand when a table has no place in it, or a place has no table.
    """
    return filled(document, tables(settings))


def tables_alone(settings: Settings) -> str:
    """Give the tables without the document, each under its name."""
    return "\n".join(f"## {name}\n\n{text}" for name, text in tables(settings).items())
