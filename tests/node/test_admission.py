"""Admission: deny by default, with the reason of the standard and words that name the fix."""

import tomllib

import pytest

from node.admission import (
    Accept,
    AssociationRequest,
    Cause,
    Reject,
    decide,
    may,
    permitted,
    table_of,
    unknown_version,
)
from node.watermarks import DiskState

CT1 = {
    "CT1": {
        "may": ["store", "find"],
        "addresses": ["10.1.2.3", "10.9.0.0/16", "fd00::/8"],
        "max_associations": 2,
    },
    "MR1": {"may": ["store"], "tls_name": ["mr1.example", "spare.example"]},
    "WS": {"may": ["find"]},
}
UNKNOWN = {"accept_unknown_callers": True}
STORES = frozenset({"store", "find"})
ASKS = frozenset({"find"})


def ask(calling="SCANNER", called="PENUMBRA", open_associations=0, address="10.0.0.9", **more):
    return AssociationRequest(calling, called, address, open_associations, **more)


@pytest.mark.parametrize(
    ("request_", "node", "answer"),
    [
        (ask(), {}, None),
        (ask("  SCANNER  ", "PENUMBRA   "), {}, None),
        (ask("STRANGER"), {}, (1, 1, 3)),
        (ask("scanner"), {}, (1, 1, 3)),
        (ask(""), {}, (1, 1, 3)),
        (ask("STRANGER"), UNKNOWN, None),
        (ask(called="OTHER"), {}, (1, 1, 7)),
        (ask("STRANGER", "OTHER"), UNKNOWN, (1, 1, 7)),
        (ask("STRANGER", "OTHER"), {}, (1, 1, 3)),
        (ask(open_associations=99), {}, None),
        (ask(open_associations=100), {}, (2, 3, 2)),
        (ask(open_associations=1), {"max_associations": 1}, (2, 3, 2)),
        (ask("STRANGER", open_associations=100), {}, (1, 1, 3)),
        (ask(called="OTHER", open_associations=100), {}, (1, 1, 7)),
    ],
)
def test_verdicts(make_settings, request_, node, answer):
    """Each request gets the result, source and reason of PS3.8 9.3.4."""
    check(decide(request_, make_settings(**node)), answer)


@pytest.mark.parametrize(
    ("request_", "node", "cause"),
    [
        (ask("CT1", address="10.1.2.3"), {}, None),
        (ask("CT1 ", address="10.9.255.255"), {}, None),
        (ask("CT1", address="::ffff:10.1.2.3"), {}, None),
        (ask("CT1", address="fd12::1"), {}, None),
        (ask("CT1", address="10.1.2.4"), {}, Cause.WRONG_ADDRESS),
        (ask("CT1", address="fe80::1"), {}, Cause.WRONG_ADDRESS),
        (ask("CT1", address=""), {}, Cause.WRONG_ADDRESS),
        (ask("CT1", address="10.1.2.4"), UNKNOWN, Cause.WRONG_ADDRESS),
        (ask("CT1", "OTHER", address="10.1.2.4"), {}, Cause.WRONG_ADDRESS),
        (ask("CT1", address="10.1.2.4", open_associations=100), {}, Cause.WRONG_ADDRESS),
        (ask("MR1", tls_name="mr1.example"), {}, None),
        (ask("MR1", tls_name="SPARE.example"), {}, None),
        (ask("MR1"), {}, Cause.WRONG_CERTIFICATE),
        (ask("MR1", tls_name=""), {}, Cause.WRONG_CERTIFICATE),
        (ask("MR1", tls_name="ct1.example"), {}, Cause.WRONG_CERTIFICATE),
        (ask("MR1", tls_name="mr1.example.org"), {}, Cause.WRONG_CERTIFICATE),
        (ask("MR1", tls_name="ct1.example"), UNKNOWN, Cause.WRONG_CERTIFICATE),
        (ask("WS", tls_name="anybody"), {}, None),
    ],
)
def test_a_title_is_not_enough(make_settings, request_, node, cause):
    """A peer comes from its addresses, with its certificate; any lack sounds the same outside."""
    verdict = decide(request_, make_settings(peers=CT1, **node))
    check(verdict, cause and (1, 1, 3))
    assert cause is None or verdict.cause is cause


@pytest.mark.parametrize(
    ("calling", "of_caller", "in_all", "cause"),
    [
        ("CT1", 1, 99, None),
        ("CT1", 2, 2, Cause.TOO_MANY_OF_CALLER),
        ("CT1", 2, 100, Cause.TOO_MANY_OF_CALLER),
        ("CT1", 1, 100, Cause.TOO_MANY),
        ("WS", 99, 99, None),
        ("WS", 0, 100, Cause.TOO_MANY),
        ("STRANGER", 99, 99, None),
    ],
)
def test_limits(make_settings, calling, of_caller, in_all, cause):
    """A caller has its own limit beside the node's: local limit exceeded, come back later."""
    settings = make_settings(peers=CT1, **UNKNOWN)
    request = ask(calling, address="10.1.2.3", open_associations=in_all, open_of_caller=of_caller)
    verdict = decide(request, settings)
    check(verdict, cause and (2, 3, 2))
    assert cause is None or verdict.cause is cause


@pytest.mark.parametrize(
    ("calling", "proposes", "disk", "refused"),
    [
        ("CT1", STORES, DiskState.OK, False),
        ("CT1", STORES, DiskState.SLOW, False),
        ("CT1", STORES, DiskState.REFUSING, True),
        ("CT1", STORES, DiskState.FULL, True),
        ("CT1", ASKS, DiskState.FULL, False),
        ("CT1", frozenset(), DiskState.FULL, False),
        ("WS", STORES, DiskState.FULL, False),
        ("STRANGER", STORES, DiskState.REFUSING, True),
        ("STRANGER", ASKS, DiskState.REFUSING, False),
    ],
)
def test_who_comes_to_store_waits_for_room(make_settings, calling, proposes, disk, refused):
    """Short of room, who may store and would is sent away for a while; who asks is answered."""
    request = ask(calling, address="10.1.2.3", proposes=proposes, disk=disk)
    verdict = decide(request, make_settings(peers=CT1, **UNKNOWN))
    check(verdict, (2, 3, 1) if refused else None)
    assert not refused or verdict.cause is Cause.DISK


@pytest.mark.parametrize(
    ("request_", "in_words", "in_fix"),
    [
        (ask("STRANGER"), "STRANGER", "[peers.STRANGER]"),
        (ask("CT 1"), "'CT 1'", '[peers."CT 1"]'),
        (ask(called="OTHER"), "OTHER", "[node] ae_title"),
        (ask("WS", open_associations=100), "100", "[node] max_associations"),
        (ask("CT1"), "came from 10.0.0.9", "add 10.0.0.9 to [peers.CT1] addresses"),
        (ask("MR1"), "without a client certificate", "[peers.MR1] tls_name"),
        (ask("MR1", tls_name="x"), "'mr1.example' or 'spare.example', and came as 'x'", "tls_name"),
        (
            ask("CT1", address="fd00::1", open_of_caller=2),
            "2 associations of CT1",
            "[peers.CT1] max_associations",
        ),
        (ask("CT1", address="fd00::1", proposes=STORES, disk=DiskState.FULL), "disk", "make room"),
    ],
)
def test_words_name_the_cause_and_the_setting_that_mends_it(
    make_settings, request_, in_words, in_fix
):
    """A rejection tells an administrator what to change."""
    peers = CT1 if request_.called_ae == "PENUMBRA" else {"SCANNER": {}}
    verdict = decide(request_, make_settings(peers=peers))
    assert isinstance(verdict, Reject)
    assert in_words in verdict.words
    assert in_fix in verdict.fix


def test_every_cause_but_a_bug_is_a_verdict(make_settings):
    """Each cause that is counted is one that somebody can meet."""
    requests = [
        ask("X"), ask("CT1"), ask("MR1"), ask("WS", "OTHER"), ask("WS", open_associations=100),
        ask("CT1", address="fd00::1", open_of_caller=2),
        ask("CT1", address="fd00::1", proposes=STORES, disk=DiskState.FULL),
    ]  # fmt: skip
    verdicts = [decide(one, make_settings(peers=CT1)) for one in requests]
    verdicts.append(unknown_version(2))
    assert [one.cause for one in verdicts] == [one for one in Cause if one is not Cause.BUG]


def check(verdict, answer):
    """The verdict is this answer; None accepts."""
    if answer is None:
        assert verdict == Accept()
    else:
        assert isinstance(verdict, Reject)
        assert (verdict.result, verdict.source, verdict.reason) == answer


@pytest.mark.parametrize("title", ["CT1", "CT 1", 'A"B', "A.B", "A-B_C", "[X]", "A#1", "A'B"])
def test_a_table_can_be_copied_into_the_file(title):
    """What a fix writes as a peer's table is TOML that names the peer."""
    assert tomllib.loads(f"{table_of(title)}\nx = 1") == {"peers": {title: {"x": 1}}}


@pytest.mark.parametrize(
    ("calling", "permission", "unknown", "allowed"),
    [
        ("SCANNER", "store", False, True),
        ("SCANNER ", "find", False, True),
        ("SCANNER", "move", False, False),
        ("NOSTORE", "store", False, False),
        ("NOSTORE", "store", True, False),
        ("STRANGER", "store", False, False),
        ("STRANGER", "store", True, True),
        ("STRANGER", "find", True, False),
        ("STRANGER", "move", True, False),
        ("STRANGER", "get", True, False),
        ("STRANGER", "commit", True, False),
    ],
)
def test_permissions(make_settings, calling, permission, unknown, allowed):
    """A peer may what its table says; an unknown caller may store at most."""
    settings = make_settings(accept_unknown_callers=unknown)
    assert may(settings, calling, permission) is allowed
    assert (permission in permitted(settings, calling)) is allowed
