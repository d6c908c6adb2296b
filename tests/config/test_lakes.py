"""What [lakes.NAME] and [fhir] must say is checked, all at once, with the fix in words."""

import pytest

from config.load import load
from dicom.errors import ConfigFault

BASE = """
[destinations.out]
kind = "folder"
path = "out"
[destinations.pacs]
kind = "dicom"
peer = "PACS"
[peers.PACS]
host = "127.0.0.1"
port = 104
"""


def problems(tmp_path, text):
    (tmp_path / "node.toml").write_text(BASE + text)
    try:
        load(tmp_path / "node.toml", with_secrets=False)
    except ConfigFault as fault:
        return dict(fault.problems)
    return {}


def lake(text, name="x"):
    return f"[lakes.{name}]\n{text}\n"


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        (lake('destination = "out"'), "lakes.x.profile", "identity = true"),
        (lake('destination = "out"\nidentity = false'), "lakes.x.profile", "is missing"),
        (lake('destination = "out"\nidentity = true\nprofile = "p"'), "lakes.x.identity", "excl"),
        (lake('destination = "out"\nprofile = "p"'), "lakes.x.profile", "p"),
        (lake('destination = "nowhere"\nidentity = true'), "lakes.x.destination", "nowhere"),
        (lake('destination = "pacs"\nidentity = true'), "lakes.x.destination", "of kind dicom"),
        (lake('destination = "out"\nidentity = true', '"A b"'), 'lakes."A b"', "lower case"),
        (lake('destination = "out"\nidentity = true\nat = "25:00"'), "lakes.x.at", ""),
        (lake('destination = "out"\nidentity = true\nevery = "0h"'), "lakes.x.every", ""),
        (lake('destination = "out"\nidentity = true\ntables = ["x"]'), "lakes.x.tables[0]", ""),
        ('[fhir]\nserver = "http://fhir.example/r4"', "fhir.server", "in the clear"),
        ('[fhir]\nserver = "https://u:p@fhir.example/r4"', "fhir.server", "password"),
        ('[fhir]\nauth = { kind = "bearer", token = { env = "T" } }', "fhir.server", "missing"),
        ('[fhir]\nserver = "https://h/r4"\n[destinations.fhir]\nkind = "folder"\npath = "f"',
         "destinations.fhir", "cannot be called"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(tmp_path, text, path, words):
    """Nobody's identity leaves by an oversight, and nothing is exported to where it cannot lie."""
    found = problems(tmp_path, text)
    assert words in found[path]


def test_good_tables_pass(tmp_path):
    """A lake with identity, one by the clock, and a FHIR server over TLS are in order."""
    good = lake('destination = "out"\nidentity = true\nat = "02:30"\nevery = "6h"')
    assert problems(tmp_path, good + '[fhir]\nserver = "https://fhir.example/r4"') == {}
    assert problems(tmp_path, '[fhir]\nserver = "http://127.0.0.1:8080/r4"') == {}
