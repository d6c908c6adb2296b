"""config/privacy.py: what profiles, the vault and rules say of one another."""

from base64 import b64encode
from pathlib import Path

import pytest

from config.load import load
from dicom.errors import ConfigFault

BASE = """
[peers.PACS]
host = "127.0.0.1"
port = 104
[destinations.pacs]
kind = "dicom"
peer = "PACS"
[profiles.research]
base = "research"
key = { env = "NOT_READ" }
"""


def faults(folder: Path, text: str) -> dict[str, str]:
    """Load a file, and give its faults by their places."""
    (folder / "node.toml").write_text(text)
    try:
        load(folder / "node.toml", with_secrets=False)
    except ConfigFault as fault:
        return dict(fault.problems)
    return {}


TWICE = """
exceptions = [
  { tag = "0010,1030", action = "keep", reason = "a" },
  { tag = "PatientWeight", action = "remove", reason = "b" },
]
"""
CASES = {
    "both dates": (
        'options = ["full-dates", "modified-dates"]', "profiles.research.options", "take one",
    ),
    "dropped and asked for": (
        'options = ["full-dates"]\nwithout = ["full-dates"]',
        "profiles.research.without[0]", "options asks for",
    ),
    "unknown option": ('options = ["clean"]', "profiles.research.options[0]", ""),
    "no such file": ('vocabulary = "gone.txt"', "profiles.research.vocabulary", "no file"),
    "no vault": ("reversible = true", "profiles.research.reversible", "[vault]"),
    "a keyword with a slip": (
        'exceptions = [{ tag = "PatientWeigth", action = "keep", reason = "dose" }]',
        "profiles.research.exceptions[0].tag", "PatientWeight",
    ),
    "no reason": (
        'exceptions = [{ tag = "0010,1030", action = "keep", reason = "" }]',
        "profiles.research.exceptions[0].reason", "",
    ),
    "twice, once as a tag": (
        TWICE,
        "profiles.research.exceptions[1].tag", "twice",
    ),
    "no way back": (
        '[[rules]]\nname = "back"\nreidentify = "research"\nsend = ["pacs"]',
        "rules[0].reidentify", "not reversible",
    ),
    "both ways": (
        '[[rules]]\nname = "x"\nprofile = "research"\nreidentify = "research"\nsend = ["pacs"]',
        "rules[0].reidentify", "exclude",
    ),
    "an unknown profile": (
        '[[rules]]\nname = "x"\nreidentify = "reserch"\nsend = ["pacs"]',
        "rules[0].reidentify", "research",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("more", "place", "words"), CASES.values(), ids=CASES)
def test_a_slip_is_told_with_its_place(tmp_path, more, place, words):
    """Each slip is a fault at its own place, in words that help."""
    found = faults(tmp_path, BASE + more)
    assert place in found
    assert words in found[place]


def test_a_way_back_loads(tmp_path):
    """A reversible profile with a vault, exceptions and a rule that leads back are in order."""
    more = """
reversible = true
exceptions = [{ tag = "PatientWeight", action = "keep", reason = "dose" }]
[vault]
key = { env = "NOT_READ_EITHER" }
[[rules]]
name = "back"
reidentify = "research"
send = ["pacs"]
"""
    assert faults(tmp_path, BASE + more) == {}


@pytest.mark.parametrize(
    ("same", "vault", "profile"),
    [
        (True, "A{B}", "A{B}"),
        (True, "A{B}\n", "A{B}"),
        (True, "hex", "base64"),
        (True, "HEX", "hex"),
        (False, "A{B}", "B{A}"),
    ],
)
def test_the_vault_shares_no_secret_with_a_profile(tmp_path, same, vault, profile):
    """One secret in two files, in whatever writing, is refused in words that say what to do."""
    key = bytes(range(32))
    written = {"hex": key.hex(), "HEX": key.hex().upper(), "base64": b64encode(key).decode()}
    for name, content in (("vault.key", vault), ("research.key", profile)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(written.get(content, content))
    base = BASE.replace('{ env = "NOT_READ" }', '{ file = "research.key" }')
    (tmp_path / "node.toml").write_text(base + '[vault]\nkey = { file = "vault.key" }\n')
    if not same:
        load(tmp_path / "node.toml")
        return
    with pytest.raises(ConfigFault, match=r"vault\.key: is the same secret as \[profiles\.resea"):
        load(tmp_path / "node.toml")
    assert load(tmp_path / "node.toml", with_secrets=False)


@pytest.mark.parametrize("with_secrets", [True, False])
@pytest.mark.parametrize("place", ['{ env = "SHARED_KEY" }', '{ file = "./one.key" }'])
def test_one_place_of_a_secret_serves_one_purpose(tmp_path, monkeypatch, place, with_secrets):
    """The same variable or file for both is found without reading it."""
    monkeypatch.setenv("SHARED_KEY", "x")
    (tmp_path / "one.key").touch(mode=0o600)
    (tmp_path / "one.key").write_text("x")
    base = BASE.replace('{ env = "NOT_READ" }', place.replace("./", ""))
    (tmp_path / "node.toml").write_text(f"{base}[vault]\nkey = {place}\n")
    with pytest.raises(ConfigFault, match="penumbra key new"):
        load(tmp_path / "node.toml", with_secrets=with_secrets)
