"""The conformance statement's claims, tried on a running node."""

import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom._uid_dict import UID_dictionary

from config.model import Settings
from dicom import errors, status
from dicom.context import MOST_CONTEXTS
from examples.peers import raw_scu
from examples.peers.find_scu import STUDY_ROOT
from examples.peers.raw_scu import CT, EXPLICIT, IMPLICIT, RawPeer, item
from node.admission import Cause
from node.assemble import Front, assemble
from node.commands.conformance import DOCUMENT
from node.conformance_markdown import rows
from node.run import stop
from storage.ledger.arriving import ReadingHere
from storage.spool.reader import SpoolReader

MADE_UP = "1.2.826.0.1.3680043.10.999.1"


@pytest.fixture(scope="module")
def document() -> str:
    """The statement as people read it."""
    return DOCUMENT.read_text("utf-8")


def codes(document: str, name: str) -> set[int]:
    """Read the statuses of a table."""
    return {int(row[0], 16) for row in rows(document, name)}


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The front as `penumbra serve` makes it, with its door open."""
    folder = tmp_path_factory.mktemp("node")
    settings = Settings.model_validate(
        {
            "node": {"host": "127.0.0.1", "port": 0, "data_dir": folder / "var", "reserve_mb": 0},
            "http": {"port": 0},
            "peers": {
                "SCANNER": {"may": ["store", "find", "commit", "mpps", "worklist", "move", "get"]},
                "NOSTORE": {"may": ["find"]},
            },
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        # No object comes, so there is nothing to read; a child process would outlive `stop`.
        patch.setattr(
            "node.assemble.ReadingProcess", lambda root, _keys: ReadingHere(SpoolReader(root))
        )
        front = assemble(settings, folder / "node.toml")
    front.listener.start()
    yield front
    stop(front)


@pytest.fixture
def peer(front: Front) -> Iterator[RawPeer]:
    """A connection to its door."""
    peer = RawPeer(front.listener.port or 0)
    yield peer
    peer.close()


def negotiated(front: Front, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Propose each pair in a context of its own; give the results."""
    results: dict[tuple[str, str], int] = {}
    for start in range(0, len(pairs), MOST_CONTEXTS):
        some = pairs[start : start + MOST_CONTEXTS]
        peer = RawPeer(front.listener.port or 0)
        answer = peer.associate(*some)
        results |= {pair: answer[2 * place + 1] for place, pair in enumerate(some)}
        peer.release()
    return results


def claimed(document: str) -> list[tuple[str, str]]:
    """List every pair of abstract and transfer syntax that the document says is accepted."""
    syntaxes = [uid for _, uid, _ in rows(document, "transfer-syntaxes")]
    pairs = [(uid, each) for _, uid, _ in rows(document, "classes") for each in syntaxes]
    abstract = ""
    for _, uid, _, syntax, *_ in rows(document, "accepted-contexts")[1:]:
        abstract = uid or abstract
        pairs.append((abstract, syntax))
    return pairs


def test_the_door_accepts_what_the_document_claims(front: Front, document: str) -> None:
    """Every claimed abstract syntax is accepted in every claimed transfer syntax."""
    pairs = claimed(document)
    assert len(pairs) > 10_000
    assert {uid for _, uid, *_ in rows(document, "services")} - {"8.7"} <= {a for a, _ in pairs}
    results = negotiated(front, pairs)
    assert [pair for pair in pairs if results[pair] != 0] == []


def test_nothing_else_is_served(front: Front, document: str) -> None:
    """Every other SOP class of the standard is refused as the document says."""
    ours = {abstract for abstract, _ in claimed(document)}
    others = [
        (uid, EXPLICIT)
        for uid, (_, kind, *_) in UID_dictionary.items()
        if "SOP Class" in kind and uid not in ours
    ]
    assert len(others) > 50
    assert set(negotiated(front, others).values()) == {3}


def reasons(document: str) -> dict[str, int]:
    """Read why contexts are refused, by the standard's words."""
    return {words: int(code) for code, words, *_ in rows(document, "refusals")}


def test_refusals_have_the_reasons_that_the_document_names(
    front: Front, peer: RawPeer, document: str
) -> None:
    """A made-up class and a made-up syntax are refused each with its reason; others are not."""
    asked = [(MADE_UP, EXPLICIT), (CT, MADE_UP), (CT, EXPLICIT)]
    heard = peer.associate(*asked)
    named = reasons(document)
    assert heard == {
        1: named["abstract-syntax-not-supported"],
        3: named["transfer-syntaxes-not-supported"],
        5: 0,
    }


def test_a_service_without_permission_is_refused_as_the_document_says(
    peer: RawPeer, document: str
) -> None:
    """A peer that may not store has its storage contexts refused, and no others."""
    heard = peer.associate((CT, EXPLICIT), (STUDY_ROOT, EXPLICIT), calling="NOSTORE")
    assert heard == {1: reasons(document)["user-rejection"], 3: 0}


def test_an_association_may_be_left_without_a_context(peer: RawPeer) -> None:
    """An association of which nothing is accepted is accepted itself."""
    assert peer.associate((MADE_UP, EXPLICIT)) == {1: 3}
    peer.release()


def context(number: int, abstract: str, *syntaxes: str) -> bytes:
    subs = item(0x30, abstract.encode()) + b"".join(item(0x40, one.encode()) for one in syntaxes)
    return item(0x20, struct.pack(">BxxB", number, 0) + subs)


def associate_rq(*contexts: bytes, user: bytes = b"", version: int = 1, app: str = "") -> bytes:
    """An A-ASSOCIATE-RQ with whatever contexts and items of user information."""
    body = struct.pack(">HH16s16s32x", version, 0, b"PENUMBRA".ljust(16), b"SCANNER".ljust(16))
    body += item(0x10, (app or "1.2.840.10008.3.1.1.1").encode()) + b"".join(contexts)
    body += item(0x50, item(0x51, struct.pack(">L", 0)) + item(0x52, b"1.2.3.4") + user)
    return struct.pack(">BxL", 1, len(body)) + body


def accepted(peer: RawPeer, request: bytes) -> tuple[list[str], dict[int, bytes]]:
    """Associate; give the chosen transfer syntaxes and the items of user information."""
    peer.send(request)
    kind, body = peer.read_pdu()
    assert kind == 2, body.hex()
    syntaxes, user = [], {}
    for number, value in items(body[68:]):
        if number == 0x21:
            syntaxes += [each.decode() for kind, each in items(value[4:]) if kind == 0x40]
        elif number == 0x50:
            user = dict(items(value))
    return syntaxes, user


def items(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the items of a PDU."""
    while data:
        number, length = struct.unpack_from(">BxH", data)
        yield number, data[4 : 4 + length]
        data = data[4 + length :]


def test_a_senders_order_is_taken_for_storage(peer: RawPeer, document: str) -> None:
    """Of several transfer syntaxes in one context for storage, the first that 8.8 has is taken."""
    order = [uid for _, uid, _ in rows(document, "transfer-syntaxes")]
    asked = [
        context(1, CT, EXPLICIT, IMPLICIT),
        context(3, CT, *reversed(order)),
        context(5, CT, "1.2.3.4", *order[4:8]),
    ]
    assert accepted(peer, associate_rq(*asked))[0] == [EXPLICIT, order[-1], order[4]]


UID_OF_CT = struct.pack(">H", len(CT)) + CT.encode()


@pytest.mark.parametrize(
    "user",
    [
        item(0x53, struct.pack(">HH", 8, 8)),
        item(0x56, UID_OF_CT + b"\2\0\0\0\0\0"),
        item(0x58, b"\2\1" + struct.pack(">H", 3) + b"bob" + struct.pack(">H", 2) + b"pw"),
    ],
    ids=["asynchronous", "extended", "user identity"],
)
def test_extended_negotiation_is_not_answered(peer: RawPeer, user: bytes, document: str) -> None:
    """The answer holds maximum length and implementation alone, as the document says."""
    syntaxes, heard = accepted(peer, associate_rq(context(1, CT, EXPLICIT), user=user))
    names = [row[1].strip("`") for row in rows(document, "identity")]
    longest = next(row[2] for row in rows(document, "associations") if "offered" in row[0])
    assert syntaxes == [EXPLICIT]
    assert set(heard) == {0x51, 0x52, 0x55}
    assert [heard[0x52].decode(), heard[0x55].decode()] == names
    assert f"{struct.unpack('>L', heard[0x51])[0]:,} bytes" == longest


def test_another_protocol_version_is_rejected(peer: RawPeer, document: str) -> None:
    """Who speaks no version 1 hears 1, 2, 2."""
    assert "1, 2, 2 (protocol-version-not-supported)" in document
    peer.send(associate_rq(context(1, CT, EXPLICIT), version=2))
    assert peer.read_pdu() == (3, bytes([0, 1, 2, 2]))


def test_a_foreign_application_context_is_accepted(peer: RawPeer, document: str) -> None:
    """The departure that 3.3 owns up to is one."""
    assert "The application context name is not judged" in document
    assert accepted(peer, associate_rq(context(1, CT, EXPLICIT), app=MADE_UP))[0] == [EXPLICIT]


@pytest.mark.parametrize(
    ("titles", "cause"),
    [
        ({"calling": "STRANGER"}, "calling AE title unknown"),
        ({"called": "OTHER"}, "called AE title unknown"),
        ({"called": "penumbra"}, "called AE title unknown"),
    ],
)
def test_rejections_are_those_of_the_document(
    peer: RawPeer, document: str, titles: dict[str, str], cause: str
) -> None:
    """Result, source and reason on the wire are those of the table."""
    table = {
        row[0]: bytes(int(cell.split()[0]) for cell in row[1:])
        for row in rows(document, "rejections")
    }
    peer.send(raw_scu.associate_rq(**titles))
    assert peer.read_pdu() == (3, b"\0" + table[cause])


def test_every_cause_of_a_rejection_is_in_the_table(document: str) -> None:
    """Nobody is turned away for a cause that the document does not know."""
    causes = {row[0] for row in rows(document, "rejections")}
    apart = {Cause.BUG, Cause.UNKNOWN_VERSION}
    assert causes == {str(cause) for cause in Cause} - {str(cause) for cause in apart}
    assert "1, 2, 2 (protocol-version-not-supported)" in document
    assert "2, 2, 1 (no-reason-given)" in document


def test_both_kinds_of_address_are_listened_on(open_door: Callable[..., Any]) -> None:
    """With `::` the node answers by IPv6 and by IPv4."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = open_door(host="::").port
    for address in ("::1", "127.0.0.1"):
        socket.create_connection((address, port), 10).close()


# -- statuses

STORED: dict[int, Callable[..., int]] = {
    status.SUCCESS: lambda door, peer, data: peer.store(data),
    status.OUT_OF_RESOURCES: lambda door, peer, data: failing(
        door, peer, data, errors.SpoolFull("full")
    ),
    status.DOES_NOT_MATCH: lambda door, peer, data: peer.store(data, sop_instance="1.2.9"),
    status.CANNOT_UNDERSTAND: lambda door, peer, data: peer.store(b""),
    status.INVALID_SOP_INSTANCE: lambda door, peer, data: peer.store(data, sop_instance=""),
    status.SOP_CLASS_NOT_SUPPORTED: lambda door, peer, data: peer.store(data, sop_class="1.2"),
    status.PROCESSING_FAILURE: lambda door, peer, data: failing(
        door, peer, data, RuntimeError("a bug")
    ),
}
"""What draws each status of a C-STORE."""


def failing(door: Any, peer: RawPeer, data: bytes, fault: Exception) -> int:
    door.receiver.fault = fault
    return peer.store(data)


@pytest.mark.parametrize("code", STORED, ids=hex)
def test_each_status_of_a_store_is_really_sent(door: Any, call: Any, wire: Any, code: int) -> None:
    """The table's words describe a request that a running door answers so."""
    peer = call()
    peer.associate()
    assert STORED[code](door, peer, wire.dataset_of()) == code


def test_the_table_of_store_statuses_is_whole(document: str) -> None:
    """It names every status that is drawn above, and the one that negotiation keeps away."""
    assert codes(document, "store-statuses") == {*STORED, status.NOT_AUTHORISED}
