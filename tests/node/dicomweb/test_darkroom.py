"""Pixels are worked with in processes of their own: one that dies or hangs takes nobody along."""

import contextlib
import subprocess
import sys

import pytest

from dicom.errors import CannotUnderstand, OutOfResources
from node.web.dicomweb import darkroom as module
from node.web.dicomweb.darkroom import Darkroom

TASK = {"do": "decode", "syntax": "1.2.840.10008.1.2.5"}


@pytest.fixture
def darkroom():
    with contextlib.closing(Darkroom(children=1, timeout_s=20)) as made:
        yield made


def child(code):
    """Start something else in place of a child."""
    command = [sys.executable, "-c", code]
    return lambda: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import time; time.sleep(60)", "kills or hangs"),
        ("import os; os._exit(11)", "kills or hangs"),
        ("print('no JSON', flush=True); input()", "kills or hangs"),
        ("print('{\"size\": 99999999999}', flush=True); input()", "kills or hangs"),
        ("print('{\"size\": 5}\\nab', flush=True)", "kills or hangs"),
        ('print(\'{"size": 0, "fault": "told"}\', flush=True); input()', "told"),
    ],
)
def test_a_child_that_fails_fails_its_task_alone(monkeypatch, darkroom, code, words):
    """Whatever becomes of the child, that task is refused in words, and the next has a new one."""
    monkeypatch.setattr(darkroom, "_timeout_s", 0.5)
    with monkeypatch.context() as other:
        other.setattr(module, "_started", child(code))
        with pytest.raises(CannotUnderstand, match=words):
            darkroom.ask(TASK, b"", b"")
        darkroom.close()
    monkeypatch.setattr(darkroom, "_timeout_s", 20)
    darkroom._idle.put(None)
    with pytest.raises(CannotUnderstand, match=r"cannot be read here|none, or more"):
        darkroom.ask(TASK, b"\x28\0\x10\0US\2\0\1\0", b"")


def test_nobody_waits_for_ever(monkeypatch):
    """Where every child is busy, who asks hears that the node is."""
    monkeypatch.setattr(module, "BUSY_S", 0.05)
    with pytest.raises(OutOfResources):
        Darkroom(children=0).ask(TASK)
