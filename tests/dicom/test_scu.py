"""An SCU hears a peer's no in words, and never waits for ever."""

import time

import pytest
from pynetdicom import evt
from pynetdicom.presentation import build_context

from dicom import scu
from dicom.errors import Busy, Unreachable
from examples.peers import raw_scp
from examples.peers.process import free_port
from examples.peers.raw_scp import Behaviour

VERIFICATION = "1.2.840.10008.1.1"


def associate(port, *, host="127.0.0.1", contexts=None, timeout_s=3.0, handlers=()):
    return scu.associate(
        host, port, called_ae="PACS", calling_ae="NODE",
        contexts=contexts or scu.verification(), timeout_s=timeout_s, handlers=handlers,
    )  # fmt: skip


def enter(manager):
    with manager:
        pass


def test_echo_is_answered(scp):
    """A healthy peer answers C-ECHO, and the association is released."""
    peer = scp()
    with associate(peer.port) as association:
        scu.echo(association)
    assert association.is_released


def test_echo_needs_verification(scp):
    """A peer without the Verification service says so, rather than hang."""
    peer = scp(contexts=[build_context("1.2.840.10008.5.1.4.1.1.2")])
    with pytest.raises(scu.NothingAccepted, match=VERIFICATION.replace(".", r"\.")):
        enter(associate(peer.port))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"require_called_aet": True, "ae_title": "OTHER"}, "called AE title not recognised"),
        ({"require_calling_aet": ["SCANNER"]}, "calling AE title not recognised"),
    ],
)
def test_a_rejection_names_the_fix(scp, attributes, words):
    """A title that the peer does not know is named, and is not tried again."""
    with pytest.raises(scu.Rejected, match=words):
        enter(associate(scp(**attributes).port))


@pytest.mark.parametrize(
    ("reason", "fault", "words"),
    [((1, 1, 3), scu.Rejected, "calling AE title not recognised"), ((2, 3, 1), Busy, "congestion")],
)
def test_a_rejection_counts_that_was_not_waited_for(reason, fault, words):
    """A peer may reject and close before we look: this is no peer that does not answer."""
    slow = [(evt.EVT_REQUESTED, lambda _event: time.sleep(0.3))]
    with raw_scp.running(Behaviour(reject=lambda _: reason)) as peer:
        with pytest.raises(fault, match=words):
            enter(associate(peer.port, handlers=slow))
        assert peer.associations == 1


def test_a_full_peer_is_busy(scp):
    """A peer at its limit of associations is tried again."""
    peer = scp(maximum_associations=1)
    with associate(peer.port), pytest.raises(Busy, match="limit"):
        enter(associate(peer.port))


def test_nobody_there():
    """A port where nobody listens is known at once."""
    begun = time.monotonic()
    with pytest.raises(Unreachable, match="nobody answers"):
        enter(associate(free_port()))
    assert time.monotonic() - begun < 2


def test_an_unknown_host_is_named():
    """A name that nobody knows is no reason for a traceback."""
    with pytest.raises(Unreachable, match=r"no-such-host\.invalid"):
        enter(associate(104, host="no-such-host.invalid"))


def test_a_deaf_peer_costs_one_time_out(deaf):
    """A peer that takes the connection and says nothing is given up after the time-out."""
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        enter(associate(deaf, timeout_s=0.5))
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    "words",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\2\0\0\0\0\xff"],
    ids=["http", "nothing", "half an answer"],
)
def test_a_peer_that_is_no_peer(blurting, words):
    """Whatever comes instead of an answer is a peer that cannot be reached, and nothing else."""
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        enter(associate(blurting(words), timeout_s=1))
    assert time.monotonic() - begun < 4


def test_an_empty_answer_accepts_nothing(blurting):
    """An A-ASSOCIATE-AC without a word about what was proposed accepts none of it."""
    with pytest.raises(scu.NothingAccepted):
        enter(associate(blurting(b"\2\0\0\0\0\4\0\0\0\0"), timeout_s=1))


def test_a_block_that_fails_aborts(scp):
    """An error inside the block ends the association and comes out as it was."""
    peer = scp()
    with pytest.raises(ArithmeticError), associate(peer.port) as association:
        raise ArithmeticError
    assert association.is_aborted
