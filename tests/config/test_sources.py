"""What [sources.NAME], [tokens.NAME] and [http] may say, and that every fault is told."""

import pytest

from config.load import load
from config.sources import title_of
from dicom.errors import ConfigFault

BOX = '[sources.box]\nkind = "folder"\npath = "in"\n'
INBOX = '[sources.inbox]\nkind = "bucket"\nurl = "s3://lake/raw"\n'
TOKEN = '[tokens.viewer]\ndigest = "sha256:' + "0" * 64 + '"\n'
BAD = [
    ('[sources."../x"]\nkind = "folder"\npath = "in"\n', 'sources."../x"', "a name is letters"),
    (BOX.replace("folder", "ftp"), "sources.box.kind", "must be one of 'folder', 'bucket'"),
    (BOX + "quiet = 1\n", "sources.box.quiet", "did you mean 'quiet_s'"),
    (BOX + 'after = "burn"\n', "sources.box.after", "must be 'keep', 'move' or 'delete'"),
    (BOX + 'ae_title = "A\\\\B"\n', "sources.box.ae_title", "is no AE title"),
    (BOX + '[peers.BOX]\nmay = ["store"]\n', "sources.box.ae_title", "one of [peers] too"),
    (BOX + INBOX + 'ae_title = "BOX"\n', "sources.inbox.ae_title", "the same as of [sources.box]"),
    (INBOX.replace("s3://lake/raw", "s3:///raw"), "sources.inbox.url", "names no bucket"),
    (INBOX + 'endpoint = "ftp://x"\n', "sources.inbox.endpoint", "must be http://"),
    (INBOX + 'access_key = { env = "HOME" }\n', "sources.inbox.secret_key", "is missing beside"),
    (INBOX.replace("s3:", "gs:") + 'access_key = { env = "HOME" }\n', "sources.inbox.access_key",
     "service account"),
    (INBOX + 'access_key = { env = "NOT_SET_9" }\nsecret_key = { env = "HOME" }\n',
     "sources.inbox.access_key.env", "not set"),
    (BOX + '[destinations.a]\nkind = "folder"\npath = "in/out"\n',
     "sources.box.path", "would come in again for ever"),
    (BOX + '[destinations.a]\nkind = "folder"\npath = "./in/../in"\n',
     "sources.box.path", "would come in again for ever"),
    (INBOX + '[destinations.a]\nkind = "object-store"\nurl = "s3://lake/raw/clean/"\n',
     "sources.inbox.url", "would come in again for ever"),
    (INBOX + INBOX.replace("inbox", "other").replace("raw", "raw/x"),
     "sources.inbox.url", "taken twice"),
    (TOKEN.replace("0" * 64, "0" * 63), "tokens.viewer.digest", "penumbra token new"),
    (TOKEN + 'may = ["all"]\n', "tokens.viewer.may[0]", "must be 'status', 'links'"),
    (TOKEN + TOKEN.replace("viewer", "other"), "tokens.other.digest", "that of [tokens.viewer]"),
    (TOKEN.replace("viewer", '"a b"'), 'tokens."a b"', "a name is letters"),
    (TOKEN + '[http]\nhost = "0.0.0.0"\n', "http.host", "in the clear"),
    (TOKEN + '[http]\nhost = "node.example"\n', "http.host", "in the clear"),
    ('[http]\nkey = "a.key"\n', "http.certificate", "is missing beside key"),
]  # fmt: skip
GOOD = [
    BOX,
    INBOX,
    BOX + INBOX + TOKEN,
    INBOX + '[destinations.a]\nkind = "object-store"\nurl = "s3://lake/raw-clean"\n',
    INBOX + '[destinations.a]\nkind = "object-store"\nurl = "s3://other/raw/clean"\n',
    BOX + '[destinations.a]\nkind = "folder"\npath = "inner"\n',
    TOKEN + '[http]\nhost = "0.0.0.0"\nbehind_proxy = true\n',
    TOKEN + '[http]\nhost = "0.0.0.0"\ncertificate = "a.crt"\nkey = "a.key"\n',
    TOKEN + '[http]\nhost = "::1"\n',
    TOKEN + '[http]\nhost = "localhost"\n',
]


def faults(tmp_path, text):
    (tmp_path / "node.toml").write_text(text)
    with pytest.raises(ConfigFault) as fault:
        load(tmp_path / "node.toml")
    return dict(fault.value.problems)


@pytest.mark.parametrize(("text", "path", "words"), BAD)
def test_faults_are_told_at_their_path(tmp_path, text, path, words):
    """Each fault stands at its path, with words that name the fix."""
    assert words in faults(tmp_path, text).get(path, ""), faults(tmp_path, text)


@pytest.mark.parametrize("text", GOOD)
def test_sound_tables_load(tmp_path, text):
    """Places beside each other, tokens on this machine or under TLS: no fault."""
    (tmp_path / "node.toml").write_text(text)
    load(tmp_path / "node.toml")


def test_certificates_of_http_are_read_with_the_door(tmp_path):
    """Who opens the door, and `penumbra check`, hear of missing files of [http]."""
    (tmp_path / "node.toml").write_text('[http]\ncertificate = "a.crt"\nkey = "a.key"\n')
    load(tmp_path / "node.toml")
    with pytest.raises(ConfigFault, match=r"http\.certificate.*a\.crt cannot be read"):
        load(tmp_path / "node.toml", with_tls=True)


@pytest.mark.parametrize(
    ("name", "given", "title"),
    [("box", None, "BOX"), ("my box.2", None, "MY-BOX-2"), ("box", "CT 1", "CT 1"),
     ("a-very-long-name-of-a-source", None, "A-VERY-LONG-NAME")],
)  # fmt: skip
def test_titles(name, given, title):
    """A source's title is its own, or its name as an AE title."""
    assert title_of(name, given) == title
