"""Tables of the conformance statement: titles, ports, time-outs and limits; pure."""

from collections.abc import Iterator
from typing import Final

from config.destinations import DicomDestination
from config.model import Settings
from dicom import message, pdu, scu
from dicom.commitment import MOST_REFERENCES
from dicom.identifier import MOST_KEYS
from dicom.matching import MAX_PATTERNS
from node.acceptor import ACSE_TIMEOUT_S
from node.committing import ANSWER_S, QUIET_S
from node.conformance_markdown import table
from node.exchange import FIND_LIMIT, IDENTIFIER_LIMIT, LIST_LIMIT, PYNETDICOM, PYNETDICOM_PAUSE_S
from node.lane import LINGER_S
from node.listener import SILENT_CONNECTIONS, SILENT_OF_ONE_ADDRESS
from node.watermarks import LONGEST_PAUSE_S
from node.workers.commit import SAME_S
from node.workers.report import TIMEOUT_S as REPORT_S

FIXED: Final = "fixed"
Row = tuple[str, str, str]
"""What is limited, the setting that says so, and its value."""


def local_titles(settings: Settings) -> str:
    """Write the node's own title and ports."""
    node, tls = settings.node, settings.tls
    rows = [
        ("AE title, called and calling", "`[node] ae_title`", node.ae_title),
        ("Address listened on", "`[node] host`", node.host),
        ("Port without TLS", "`[node] port`, `[node] plain`",
         str(node.port) if node.plain else "closed"),
        ("Port under TLS", "`[tls] port`", str(tls.port) if tls else "closed: no `[tls]`"),
    ]  # fmt: skip
    return table(("", "Setting", "Value"), rows)


def remote_titles(settings: Settings) -> str:
    """Write the peers, each with where it is called and what it may."""
    rows = [
        (
            title,
            f"{peer.host}:{peer.port}" if peer.host and peer.port else "",
            ", ".join(peer.may) or "C-ECHO alone",
            ", ".join(peer.addresses) or "anywhere",
            " or ".join(peer.tls_name) or "none needed",
        )
        for title, peer in settings.peers.items()
    ]
    if settings.node.accept_unknown_callers:
        rows.append(("any other", "", "store", "anywhere", "none needed"))
    if not rows:
        return "None is configured by default: every caller is rejected until `[peers]` names it.\n"
    headings = ("AE title", "Called at", "May", "May call from", "Name in its certificate")
    return table(headings, rows)


def associations(settings: Settings) -> str:
    """Write how many associations there may be, and how long what they send may be."""
    return _limits(_associations(settings))


def time_outs(settings: Settings) -> str:
    """Write every time-out and pause at the door and as a requestor."""
    return _limits(_time_outs(settings))


def _limits(rows: Iterator[Row]) -> str:
    return table(("", "Setting", "Value"), rows)


def _associations(settings: Settings) -> Iterator[Row]:
    node = settings.node
    yield "Associations open at once", "`[node] max_associations`", str(node.max_associations)
    yield "The same of one peer", "`[peers.TITLE] max_associations`", "no limit of its own"
    yield (
        "Connections beside them that have asked for no association",
        FIXED,
        str(SILENT_CONNECTIONS),
    )
    yield "The same of one address", FIXED, str(SILENT_OF_ONE_ADDRESS)
    yield "Maximum PDU length offered", "`[node] max_pdu_bytes`", _bytes(node.max_pdu_bytes)
    yield "A longer P-DATA-TF PDU is borne with", FIXED, f"up to {_bytes(pdu.OVERHEAD_LIMIT)} more"
    yield "Longest A-ASSOCIATE PDU", FIXED, _bytes(pdu.ASSOCIATE_LIMIT)
    yield "Longest command set", FIXED, _bytes(message.COMMAND_LIMIT)
    yield "Longest dataset of a C-STORE", FIXED, "no limit but the disk"
    yield "Longest identifier of a query; a longer one is refused", FIXED, _bytes(FIND_LIMIT)
    yield "Most keys in it, those in sequences included", FIXED, f"{MOST_KEYS:,}"
    yield "Longest identifier of anything else", FIXED, _bytes(IDENTIFIER_LIMIT)
    yield (
        "Longest dataset of an N-ACTION, N-EVENT-REPORT, N-CREATE, N-SET",
        FIXED,
        _bytes(LIST_LIMIT),
    )
    yield "Most Instances in a request for storage commitment", FIXED, f"{MOST_REFERENCES:,}"
    query = settings.query
    yield "Most matches of a query", "`[query] max_matches`", f"{query.max_matches:,}"
    yield "Queries that are searched at a time", "`[query] at_once`", str(query.at_once)
    yield "Most wildcard values in one key", FIXED, str(MAX_PATTERNS)
    yield "Maximum PDU length offered as a requestor", FIXED, _bytes(scu.MAX_PDU_BYTES)
    yield "Retrievals under way at once", "`[retrieve] at_once`", str(settings.retrieve.at_once)
    yield "Longest PDU sent, whatever the peer takes", FIXED, _bytes(pdu.PDU_LIMIT)


def _time_outs(settings: Settings) -> Iterator[Row]:
    destination_s = float(DicomDestination.model_fields["timeout_s"].default)
    idle_s = settings.node.idle_timeout_s
    idle = "`[node] idle_timeout_s`"
    yield (
        "ARTIM: a connection that asks for no association, its TLS handshake included, is closed",
        f"{idle}, at most {ACSE_TIMEOUT_S:g} s",
        _seconds(min(ACSE_TIMEOUT_S, idle_s)),
    )
    yield "A silent association is aborted", idle, _seconds(idle_s)
    yield "A PDU that is not complete aborts its association", idle, _seconds(idle_s)
    yield "A peer that does not read its answer is given up", idle, _seconds(idle_s)
    yield "Longest answer of a query", "`[query] timeout_s`", _seconds(settings.query.timeout_s)
    yield "Wait for the peer to close after our last PDU", FIXED, _seconds(LINGER_S)
    yield (
        "Longest wait before the answer to a C-STORE while the disk fills",
        "`[node] slow_below_mb`, `[node] refuse_below_mb`",
        _seconds(LONGEST_PAUSE_S),
    )
    yield (
        f"Wait before the answer to a C-STORE of pynetdicom (`{PYNETDICOM}*`)",
        FIXED,
        _seconds(PYNETDICOM_PAUSE_S),
    )
    yield "A report waits for its answer, where the peer asked", FIXED, _seconds(ANSWER_S)
    yield "The same on an association of the node's own", FIXED, _seconds(REPORT_S)
    yield (
        "Quiet time before a report goes on the association that asked",
        FIXED,
        _seconds(QUIET_S),
    )
    yield "Wait for a report on the association on which the node asked", FIXED, _seconds(SAME_S)
    yield (
        "Retrieval: wait for each answer of the receiver",
        "`[retrieve] timeout_s`",
        _seconds(settings.retrieve.timeout_s),
    )
    yield (
        "As a requestor: wait for each answer, of a destination",
        "`[destinations.NAME] timeout_s`",
        _seconds(destination_s),
    )


def _bytes(count: int) -> str:
    return f"{count:,} bytes"


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s"
