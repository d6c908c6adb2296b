"""The threads of an association: they wake when something comes."""

import queue
import threading
from types import SimpleNamespace

import pytest

from node import prompt

NOTHING = (None, None)


@pytest.fixture
def association(monkeypatch):
    """What is left of an association: its queues, looked at once a minute."""
    monkeypatch.setattr(prompt, "REST_S", 60.0)
    messages = queue.Queue()
    dimse = SimpleNamespace(msg_queue=messages, get_msg=lambda block: (block, "pynetdicom's own"))
    made = SimpleNamespace(dimse=dimse, dul=SimpleNamespace(to_user_queue=queue.Queue()))
    prompt.install(made)
    return made


def wait(association):
    """Begin to wait for a message; gives what was got, once it was."""
    found = queue.Queue()
    threading.Thread(target=lambda: found.put(association.dimse.get_msg()), daemon=True).start()
    return found


def test_a_message_wakes_who_waits(association):
    """A message is got when it comes, not at the next look."""
    found = wait(association)
    association.dimse.msg_queue.put((1, "message"))
    assert found.get(timeout=5) == (1, "message")


def test_a_release_wakes_who_waits(association):
    """What is no message is looked at as soon: a release, an abort, the end of the other thread."""
    found = wait(association)
    association.dul.to_user_queue.put("release")
    assert found.get(timeout=5) == NOTHING
    assert association.dul.to_user_queue.get_nowait() == "release"


def test_nothing_is_waited_for_no_longer_than_the_timers_bear(association, monkeypatch):
    """Without a message the wait ends, so that time-outs are seen; asked to block it blocks."""
    monkeypatch.setattr(prompt, "REST_S", 0.001)
    assert association.dimse.get_msg() == NOTHING
    assert association.dimse.get_msg(block=True) == (True, "pynetdicom's own")
