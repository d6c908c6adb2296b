"""Secrets: read from where the file says, never from the file, never into a message."""

from pathlib import Path

import pytest

from config import secrets
from config.load import load
from config.shapes import Secret
from dicom.errors import ConfigFault

VALUE = "hunter2-do-not-tell"


def test_a_variable_is_read_as_it_is(monkeypatch):
    """An environment variable's bytes are the secret."""
    monkeypatch.setenv("PENUMBRA_TEST", VALUE)
    assert secrets.read(Secret(env="PENUMBRA_TEST")) == VALUE.encode()


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"k\n", b"k"),
        (b"k\r\n", b"k"),
        (b"k", b"k"),
        (b" k \n\n", b" k \n"),
        (b"\0\xff\n", b"\0\xff"),
    ],
)
def test_a_file_is_read_without_the_editors_newline(tmp_path, content, secret):
    """One newline at the end is no part of the secret; everything else is."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(0o600)
    assert secrets.read(Secret(file=file)) == secret


def _closed(file: Path, content: bytes = VALUE.encode(), mode: int = 0o600) -> Secret:
    file.write_bytes(content)
    file.chmod(mode)
    return Secret(file=file)


def _folder(path: Path) -> Secret:
    path.mkdir()
    return Secret(file=path)


CASES = {
    "not set": (lambda _: Secret(env="PENUMBRA_NOT_SET"), "not set; export it"),
    "no name": (lambda _: Secret(env="A=B"), "no name of an environment variable"),
    "absent": (lambda path: Secret(file=path), "No such file"),
    "a folder": (_folder, "is no file"),
    "empty": (lambda path: _closed(path, b"\n"), "is empty"),
    "endless": (lambda path: _closed(path, b"k" * (1 << 21)), "too long"),
    "open to all": (lambda path: _closed(path, mode=0o644), "chmod 600"),
    "writable by all": (lambda path: _closed(path, mode=0o602), "chmod 600"),
    "no path": (lambda _: Secret(file=Path("a\0b")), "no path"),
}


@pytest.mark.parametrize(("make", "words"), CASES.values(), ids=CASES)
def test_what_cannot_be_used_is_a_fault_that_names_the_fix(tmp_path, make, words):
    """A secret that is absent, empty or open to everybody is refused, whoever reads it."""
    secret = make(tmp_path / "secret")
    with pytest.raises(ConfigFault) as caught:
        secrets.read(secret)
    assert words in str(caught.value)
    assert VALUE not in str(caught.value)


MISPLACED = [
    f'[destinations.d]\nkind = "object-store"\nurl = "s3://b"\naccess_key = "{VALUE}"',
    f'[destinations.d]\nkind = "object-store"\nurl = "s3://{VALUE}:{VALUE}@b"',
    f'[destinations.d]\nkind = "object-store"\nurl = "s3://b"\nendpoint = "http://u:{VALUE}@h"',
    f'[profiles.p]\nkey = {{ env = "{VALUE}" }}',
    f'[profiles.p]\nkey = {{ value = "{VALUE}" }}',
    f'[profiles.p]\nkey = ["{VALUE}"]',
    f'[mqtt]\nurl = "mqtt://u:{VALUE}@h"',
    f'[mqtt]\nurl = "mqtt://h"\nusername = "u"\npassword = "{VALUE}"',
    f'[mqtt]\nurl = "mqtt://h"\nusername = ["{VALUE}"]',
    f'[node]\nport = "{VALUE}"',
    f'[log]\nlevel = "{VALUE}"',
    f'[mqtt]\nurl = "{VALUE}',
]


@pytest.mark.parametrize("text", MISPLACED)
def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path, text):
    """Whoever writes a secret's value into the file does not read it in the fault."""
    (tmp_path / "node.toml").write_text(text)
    with pytest.raises(ConfigFault) as caught:
        load(tmp_path / "node.toml")
    assert VALUE not in str(caught.value)


def test_settings_hold_no_secret(tmp_path, monkeypatch):
    """Loaded settings name their secrets; printing them shows no value."""
    monkeypatch.setenv("PENUMBRA_TEST", VALUE)
    (tmp_path / "node.toml").write_text('[profiles.p]\nkey = { env = "PENUMBRA_TEST" }')
    assert VALUE not in repr(load(tmp_path / "node.toml"))
