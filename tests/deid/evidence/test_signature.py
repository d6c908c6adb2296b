"""A signature fits the report as it was signed, and nothing else."""

import shutil
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from deid.evidence import signature
from dicom.errors import ConfigFault, Corrupt

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
REPORT = {"format": "x", "study": {"uid": "2.25.1", "ü": [1, True, None, "\u2028 <b>"]}}
SIGNED = signature.sign(REPORT, KEY)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3
    ),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["a", "b", "ü"]), PLAIN))
def test_what_is_signed_verifies(report):
    """Any report comes back as it was signed."""
    assert signature.verify(signature.sign(report, KEY), KEY.public_key()) == report


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_every_changed_byte_shows(at, flip):
    """Whichever byte changes, in the report, the signature or between, verifying fails."""
    changed = bytearray(SIGNED)
    changed[at] ^= flip
    with pytest.raises(Corrupt):
        signature.verify(bytes(changed), KEY.public_key())


@pytest.mark.parametrize(
    "changed",
    [
        b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, SIGNED[:-1], SIGNED + b" ",
        b" " + SIGNED, SIGNED.replace(b'"uid":"2.25.1"', b'"uid":"2.25.1","uid":"2.25.1"'),
        SIGNED.replace("ü".encode(), b"\\u00fc"), SIGNED.replace(b"Ed25519", b"none"),
        SIGNED.replace(b'"signature"', b'"extra":1,"signature"'), b'{"payload":NaN}',
    ],
)  # fmt: skip
def test_other_spellings_are_not_what_was_signed(changed):
    """White space, escapes, doubled or added keys, and what is no report at all, fail."""
    with pytest.raises(Corrupt):
        signature.verify(changed, KEY.public_key())


def test_another_key_is_named():
    """A report of another node says with which key it wants to be checked."""
    other = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(Corrupt, match=signature.key_id(KEY.public_key())):
        signature.verify(SIGNED, other)


def test_the_key_is_made_once_and_is_private(tmp_path):
    """However many ask at once, there is one key, readable by its owner alone."""
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: signature.private_key(tmp_path), range(16)))
    assert len({signature.key_id(key.public_key()) for key in keys}) == 1
    assert stat.S_IMODE((tmp_path / signature.KEY_FILE).stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [signature.KEY_FILE]


@pytest.mark.parametrize("content", [b"", b"no key", signature.public_pem(KEY.public_key())])
def test_what_is_no_key_is_named(tmp_path, content):
    """A damaged key is a fault of the configuration, never quietly replaced."""
    file = tmp_path / signature.KEY_FILE
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigFault):
        signature.private_key(tmp_path)
    assert file.read_bytes() == content


def test_a_key_that_others_may_read_is_refused(tmp_path):
    """Who could read the key could have signed: the fault says what to do."""
    signature.private_key(tmp_path)
    (tmp_path / signature.KEY_FILE).chmod(0o644)
    with pytest.raises(ConfigFault, match="chmod 600"):
        signature.private_key(tmp_path)


def test_public_keys_travel_as_pem():
    """A public key survives its journey; anything else is refused."""
    pem = signature.public_pem(KEY.public_key())
    assert signature.read_public(pem) == KEY.public_key()
    with pytest.raises(ConfigFault):
        signature.read_public(b"no key")


@pytest.mark.skipif(
    not (shutil.which("jq") and shutil.which("openssl")), reason="needs Debian's jq and openssl"
)
def test_others_can_verify_without_us(tmp_path):
    """The recipe in the module's docstring works with jq and openssl."""
    (tmp_path / "evidence.json").write_bytes(SIGNED)
    (tmp_path / "public.pem").write_bytes(signature.public_pem(KEY.public_key()))
    recipe = [line.strip() for line in signature.__doc__.splitlines() if line.startswith("    ")]
    recipe = [line.replace("xxd -r -p", "python3 -c 'import sys; sys.stdout.buffer.write("
              "bytes.fromhex(sys.stdin.read()))'") for line in recipe]  # fmt: skip
    done = subprocess.run(
        ["bash", "-ec", "\n".join(recipe)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Signature Verified Successfully" in done.stdout + done.stderr
