"""What [ledger], [vault] and [staging] may say."""

from pathlib import Path

import pytest

from config.load import load
from dicom.errors import ConfigFault

VAULT = '[vault]\nkey = { file = "vault.key" }\n'
BUCKET = '[destinations.stage]\nkind = "object-store"\nurl = "s3://bucket/stage"\n'
LEDGER = '[ledger]\nurl = "postgresql://u@h/d"\n'


def problems(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "node.toml"
    file.write_text(text)
    with pytest.raises(ConfigFault) as caught:
        load(file, with_secrets=False)
    return dict(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('[ledger]\nurl = "mysql://h/d"\n', "ledger.url", "postgresql://"),
        ('[ledger]\nurl = "postgresql://u:geheim@h/d"\n', "ledger.url", "password = {"),
        ('[ledger]\nurl = "postgresql://u@h/d?password=geheim"\n', "ledger.url", "password = {"),
        ('[ledger]\nurl = "postgresql://u@h"\n', "ledger.url", "names no database"),
        ('[ledger]\nurl = "postgresql:///d"\n', "ledger.url", "names no host"),
        ('[ledger]\npassword = { env = "X" }\n', "ledger.url", "missing beside password"),
        (VAULT + 'url = "postgresql://u:geheim@h/d"\n', "vault.url", "password = {"),
        ('[staging]\ndestination = "stage"\n' + LEDGER, "staging.destination", "there is no"),
        (BUCKET + '[staging]\ndestination = "stage"\n', "staging.destination", "[ledger] url"),
        (
            LEDGER + '[destinations.stage]\nkind = "folder"\npath = "x"\n'
            '[staging]\ndestination = "stage"\n',
            "staging.destination",
            "only an object-store",
        ),
        (
            LEDGER + BUCKET + '[[rules]]\nname = "all"\nsend = ["stage"]\n'
            '[staging]\ndestination = "stage"\n',
            "staging.destination",
            "the rule all sends to stage",
        ),
    ],
)
def test_a_fault_is_named_with_its_fix(tmp_path, text, place, words):
    """Each mistake is told at its place, and no password is repeated."""
    found = problems(tmp_path, text)
    assert words in found[place]
    assert "geheim" not in str(found)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://penumbra@db.hospital.example:5433/penumbra",
        "postgres://penumbra@db/penumbra?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql:///penumbra?host=/run/postgresql",
    ],
)
def test_servers_are_named_as_libpq_does(tmp_path, url):
    """A host with or without port, TLS, and a socket's folder are all fine."""
    file = tmp_path / "node.toml"
    file.write_text(f'[ledger]\nurl = "{url}"\n{BUCKET}[staging]\ndestination = "stage"\n')
    assert load(file, with_secrets=False).ledger.url == url
