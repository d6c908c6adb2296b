"""What a peer says out of turn ends its own association in words, and breaks nothing."""

import pytest
import structlog

from node.exchange import Exchange


def lines_of(door, call, said, associate=True):
    with structlog.testing.capture_logs() as lines:
        peer = call()
        if associate:
            peer.associate()
        peer.send(said)
        heard = peer.read_to_end()
        door.is_quiet()
    return heard, lines


@pytest.mark.parametrize("number", [0, 2, 254])
def test_an_even_context_id_is_told_in_words(door, call, wire, number):
    """An A-ASSOCIATE-RQ with an even presentation context id is aborted, and the log says why."""
    request = bytearray(wire.associate_rq())
    request[request.index(b"\x20\x00", 74) + 4] = number
    heard, lines = lines_of(door, call, bytes(request), associate=False)
    assert heard == [7]
    assert [one["event"] for one in lines] == ["no association asked for"], lines
    assert "ASSOCIATE_RQ cannot be decoded" in lines[0]["words"]


@pytest.mark.parametrize("after", ["garbage", "second release"])
def test_words_after_a_release_request(door, call, wire, after):
    """What comes after an A-RELEASE-RQ is refused without breaking pynetdicom's state machine."""
    said = wire.RELEASE + (b"\x55" * 20 if after == "garbage" else wire.RELEASE)
    for _ in range(10):
        _, lines = lines_of(door, call, said)
        assert "association broke" not in {one["event"] for one in lines}, lines


def test_a_bug_of_ours_is_in_the_log(door, call, wire, monkeypatch):
    """An exception that nobody expected in the lane is an error line that names its place."""
    monkeypatch.setattr(Exchange, "take", lambda *_: 1 / 0)
    _, lines = lines_of(door, call, wire.p_data((1, 3, wire.store_rq())))
    assert any("ZeroDivisionError" in str(one) for one in lines), lines
