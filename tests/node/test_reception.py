"""The door decides by peer: addresses, limits, and what each may ask for, seen from outside."""

import re
import shutil
import socket
import subprocess
import threading

import pytest
import structlog
from pynetdicom import AE, build_role
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation

from examples.peers.process import wait_until
from node.admission import Cause
from node.negotiation import Negotiated, Refusal, RefusedContext, told
from node.watermarks import Marks, Watermarks

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
ECHO = "1.2.840.10008.1.1"
JPEG = "1.2.840.10008.1.2.4.50"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
HERE = {"may": ["store"], "addresses": ["127.0.0.0/8"]}
ELSEWHERE = {"may": ["store"], "addresses": ["10.0.0.0/8"]}
NOT_RECOGNIZED = (3, bytes([0, 1, 1, 3]))
LOCAL_LIMIT = (3, bytes([0, 2, 3, 2]))


def test_the_right_title_from_the_wrong_address(open_door, call, wire):
    """The caller hears what a stranger hears, to the byte; our own log says what it was."""
    door = open_door(peers={"HERE": HERE, "ELSEWHERE": ELSEWHERE})
    call(door).associate(calling="HERE")
    heard = []
    with structlog.testing.capture_logs() as lines:
        for title in ("ELSEWHERE", "STRANGER"):
            peer = call(door)
            peer.send(wire.associate_rq(calling=title))
            heard.append(peer.read_pdu())
    assert heard == [NOT_RECOGNIZED, NOT_RECOGNIZED]
    ours, other = (one for one in lines if one["event"] == "association rejected")
    assert "came from 127.0.0.1" in ours["words"]
    assert "[peers.ELSEWHERE] addresses" in ours["fix"]
    assert "not among the peers" in other["words"]
    causes = [verdict.cause for _, verdict in door.diary.rejected]
    assert causes == [Cause.WRONG_ADDRESS, Cause.UNKNOWN_CALLER]


def test_a_certificate_is_asked_for_without_tls(open_door, call, wire):
    """A peer with tls_name that comes without TLS is a stranger."""
    door = open_door(peers={"MR1": {"may": ["store"], "tls_name": "mr1.example"}})
    peer = call(door)
    peer.send(wire.associate_rq(calling="MR1"))
    assert peer.read_pdu() == NOT_RECOGNIZED
    assert door.diary.rejected[0][1].cause is Cause.WRONG_CERTIFICATE


@pytest.mark.parametrize(
    ("names", "is_let_in"), [("ct1.hospital.example", True), ("other", False), ([], True)]
)
def test_a_certificate_of_that_name(open_door, call, pki, names, is_let_in, *, wire):
    """Under TLS the verified name decides, whatever title the caller gives itself."""
    door = open_door(tls=pki.tls(), peers={"CT1": {"may": ["store"], "tls_name": names}})
    context = pki.authority.client(pki.client)
    peer = call(door, context)
    peer.send(wire.associate_rq(calling="CT1"))
    if is_let_in:
        assert peer.read_pdu()[0] == 2
        assert door.diary.opened[0].tls_name == "ct1.hospital.example"
    else:
        assert peer.read_pdu() == NOT_RECOGNIZED


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6 on loopback")
@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_the_log_shows_an_address_one_way(open_door, call, address, monkeypatch):
    """An IPv4 caller on an IPv6 socket is judged and shown as what it is."""
    door = open_door(peers={"HERE": HERE})
    attend = door.listener.attend
    monkeypatch.setattr(door.listener, "attend", lambda one, way, _: attend(one, way, address))
    call(door).associate(calling="HERE")
    assert door.diary.opened[0].address == "127.0.0.1"


PROPOSED = [
    ("SCANNER", [CT, FIND, ECHO], {1: 0, 3: 0, 5: 0}),
    ("NOSTORE", [CT, FIND, ECHO], {1: 1, 3: 0, 5: 0}),
    ("NOFIND", [CT, FIND, ECHO], {1: 0, 3: 1, 5: 0}),
    ("NOTHING", [CT, FIND, ECHO], {1: 1, 3: 1, 5: 0}),
    ("NOTHING", [CT], {1: 1}),
    ("NOTHING", [MOVE, "1.2.3", "9" * 64, "x y"], {1: 3, 3: 3, 5: 3, 7: 3}),
    ("STRANGER", [CT, FIND, ECHO], {1: 0, 3: 1, 5: 0}),
]
PEERS = {
    "SCANNER": {"may": ["store", "find"]},
    "NOSTORE": {"may": ["find"]},
    "NOFIND": {"may": ["store"]},
    "NOTHING": {},
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize(("calling", "proposed", "results"), PROPOSED)
def test_contexts_by_permission(open_door, call, calling, proposed, results, *, wire):
    """What a caller may not use is refused by the user (1), what nobody can by the provider (3)."""
    door = open_door(peers=PEERS, accept_unknown_callers=True)
    contexts = [(each, wire.IMPLICIT) for each in proposed]
    with structlog.testing.capture_logs() as lines:
        peer = call(door)
        assert peer.associate(*contexts, calling=calling) == results
        peer.release()
        door.is_quiet()
    (negotiated,) = door.diary.negotiated
    refused = [one for one in results.values() if one]
    assert negotiated.accepted == len(results) - len(refused)
    assert len(negotiated.refused) == len(refused)
    said = [one for one in lines if one["event"] == "contexts refused"]
    assert len(said) == bool(refused)
    for line in said:
        assert line["log_level"] == ("info" if negotiated.accepted else "warning")
        assert line["association"] == door.diary.opened[0].id


@pytest.mark.parametrize("offered", [[JPEG, EXPLICIT, IMPLICIT], [EXPLICIT, IMPLICIT]])
def test_a_senders_own_order_stands(open_door, offered):
    """Of several transfer syntaxes in one context the sender's first is taken, for storage."""
    door = open_door()
    entity = AE("SCANNER")
    entity.add_requested_context(CT, offered)
    entity.add_requested_context(ECHO, [EXPLICIT, IMPLICIT])
    association = entity.associate("127.0.0.1", door.port, ae_title="PENUMBRA")
    taken = {str(one.abstract_syntax): one.transfer_syntax for one in association.accepted_contexts}
    association.release()
    assert taken[CT] == offered[:1]
    assert len(taken[ECHO]) == 1


def test_no_syntax_in_common(open_door, call):
    """A transfer syntax that the service does not know is refused as such (4)."""
    door = open_door()
    assert call(door).associate((FIND, JPEG), (FIND, "1.2.840.10008.1.2")) == {1: 4, 3: 0}
    (negotiated,) = door.diary.negotiated
    assert [one.why for one in negotiated.refused] == [Refusal.UNKNOWN_SYNTAX]


def test_refusing_a_context_costs_no_copy_and_harms_nobody(open_door, call, wire):
    """What one caller may not have, the next one still may: nothing shared was changed."""
    door = open_door(peers=PEERS)
    for calling, result in (("NOFIND", 1), ("SCANNER", 0), ("NOFIND", 1)):
        assert call(door).associate((FIND, wire.IMPLICIT), calling=calling) == {1: result}


def test_a_peer_that_speaks_on_a_refused_context_is_cut_off(open_door, call, wire):
    """Who asks all the same breaks the protocol; nothing is stored or found."""
    door = open_door(peers=PEERS)
    peer = call(door)
    peer.associate((CT, wire.IMPLICIT), (ECHO, wire.IMPLICIT), calling="NOTHING")
    peer.send(wire.p_data((1, 3, wire.store_rq())))
    assert peer.read_to_end() == [7]
    assert door.stored == []


def test_storage_that_a_caller_would_receive_is_not_storing(open_door):
    """C-GET proposes storage to receive; a full disk is no reason to send such a caller away."""
    watermarks = Watermarks(Marks(3, 2, 1), lambda: 0)
    watermarks.look()
    door = open_door(watermarks=watermarks)
    for receives, is_let_in in ((True, True), (False, False)):
        ae = AE(ae_title="SCANNER")
        ae.add_requested_context(CT)
        role = build_role(CT, scp_role=True, scu_role=not receives)
        assert isinstance(role, SCP_SCU_RoleSelectionNegotiation)
        scu = ae.associate("127.0.0.1", door.port, ae_title="PENUMBRA", ext_neg=[role])
        assert scu.is_rejected is not is_let_in
        if scu.is_established:
            scu.release()


@pytest.mark.skipif(not shutil.which("findscu"), reason="needs Debian's dcmtk (findscu)")
@pytest.mark.parametrize(
    ("calling", "words"),
    [
        ("SCANNER", "Received Final Find Response (Success)"),
        ("NOFIND", "No Acceptable Presentation Contexts"),
        ("STRANGER", "Calling AE Title Not Recognized"),
    ],
)
def test_findscu_by_permission(open_door, calling, words):
    """DCMTK's findscu is answered, or says that it may not ask."""
    door = open_door(peers=PEERS)
    done = subprocess.run(
        ["findscu", "-v", "-S", "-aet", calling, "-aec", "PENUMBRA", "127.0.0.1", str(door.port),
         "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert words in done.stdout + done.stderr


def leave_by_release(peer, wire):
    peer.release()


def leave_by_abort(peer, wire):
    peer.send(wire.ABORT)
    peer.read_to_end()


def leave_by_closing(peer, wire):
    peer.close()


def leave_by_reset(peer, wire):
    peer.reset()


def leave_by_nonsense(peer, wire):
    peer.send(b"\xff" * 6)
    peer.read_to_end()


def leave_in_the_middle(peer, wire):
    peer.send(wire.p_data((1, 3, wire.store_rq()), (1, 0, wire.dataset_of()[:100])))
    peer.close()


def leave_by_silence(peer, wire):
    peer.read_to_end()


WAYS = [
    leave_by_release, leave_by_abort, leave_by_closing, leave_by_reset, leave_by_nonsense,
    leave_in_the_middle, leave_by_silence,
]  # fmt: skip


@pytest.mark.parametrize("leave", WAYS)
def test_every_way_out_frees_the_seat(open_door, call, wire, leave):
    """However an association ends, its peer may come again at once; never with one more."""
    idle_s = 0.3 if leave is leave_by_silence else 20
    peers = {"CT1": {"may": ["store"], "max_associations": 1}}
    door = open_door(peers=peers, idle_timeout_s=idle_s)
    for count in (1, 2):
        peer = call(door)
        peer.associate(calling="CT1")
        assert door.listener.open_associations == 1
        other = call(door)
        other.send(wire.associate_rq(calling="CT1"))
        assert other.read_pdu() == LOCAL_LIMIT
        leave(peer, wire)
        door.ended(count)
        assert door.listener.open_associations == 0


def test_a_released_seat_is_free_before_the_answer(open_door, call):
    """With one association allowed, release and the next association follow without a pause."""
    door = open_door(peers={"CT1": {"may": ["store"], "max_associations": 1}})
    for _ in range(50):
        peer = call(door)
        peer.associate(calling="CT1")
        peer.release()


def test_a_peers_limit_is_its_own(open_door, call, wire):
    """One peer at its limit keeps nobody else out, and the rejection names its setting."""
    peers = {"CT1": {"may": ["store"], "max_associations": 2}, "CT2": {"may": ["store"]}}
    door = open_door(peers=peers)
    call(door).associate(calling="CT1")
    call(door).associate(calling="CT1")
    late = call(door)
    late.send(wire.associate_rq(calling="CT1"))
    assert late.read_pdu() == LOCAL_LIMIT
    call(door).associate(calling="CT2")
    ((request, verdict),) = door.diary.rejected
    assert (request.open_associations, request.open_of_caller) == (2, 2)
    assert "[peers.CT1] max_associations" in verdict.fix


@pytest.mark.parametrize(("in_all", "of_ct1", "expected"), [(12, None, 12), (99, 7, 32)])
def test_exact_under_fifty_at_once(open_door, call, in_all, of_ct1, expected, *, wire):
    """Fifty simultaneous requests get exactly the associations allowed; all come free again."""
    peers = {"CT1": {"max_associations": of_ct1}, "CT2": {}}
    door = open_door(peers=peers, max_associations=in_all)
    callers = [call(door) for _ in range(50)]
    barrier, kinds = threading.Barrier(50), []

    def ask(number):
        barrier.wait()
        callers[number].send(wire.associate_rq(calling=f"CT{1 + number % 2}"))
        kinds.append(callers[number].read_pdu())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(kind == 2 for kind, _ in kinds) == door.listener.open_associations == expected
    assert {body for kind, body in kinds if kind == 3} == {LOCAL_LIMIT[1]}
    for one in callers:
        one.close()
    wait_until(lambda: door.listener.open_associations == 0, 15, "the end of all")


def test_a_failed_handshake_is_told(open_door, call, pki, wire):
    """Who speaks without TLS to the TLS port is noted by address and in words."""
    door = open_door(tls=pki.tls())
    peer = call(door, plain_to_tls=True)
    peer.send(wire.associate_rq())
    peer.read_to_end()
    door.is_quiet()
    ((address, words),) = door.diary.failed_handshakes
    assert address == "127.0.0.1"
    assert "without TLS" in words
    assert door.diary.rejected == []


def test_words_of_a_negotiation():
    """Each kind of refusal is said once, with its number, the first classes and its fix."""
    refused = [RefusedContext(f"1.2.{n}", Refusal.UNKNOWN_CLASS, f"fix {n}") for n in range(5)]
    refused.append(RefusedContext("1.2.9", Refusal.NOT_PERMITTED, "permit it"))
    words, fix = told(Negotiated(2, tuple(refused)))
    assert words == (
        "6 of 8 contexts refused: 5 SOP class not supported (1.2.0, 1.2.1, 1.2.2, ...),"
        " 1 not permitted (1.2.9)"
    )
    assert fix == "fix 0; permit it"
    assert told(Negotiated(2, ())) == ("", "")


@pytest.mark.p6
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_what_a_caller_names_is_no_injection(open_door, call, wire):
    """An abstract syntax that is no UID is not repeated anywhere."""
    door = open_door()
    with structlog.testing.capture_logs() as lines:
        call(door).associate(("DOE^JANE", wire.IMPLICIT), (CT, wire.IMPLICIT))
        wait_until(lambda: door.diary.negotiated, 10, "the negotiation")
    assert "DOE" not in str(lines)
    assert "DOE" not in str(door.diary.negotiated)
    assert re.search("no UID", str(lines))
