"""Loading node.toml: every kind of fault, each with its path, and what good files become."""

import stat
from pathlib import Path

import pydantic
import pytest

from config.load import load
from config.model import Settings
from dicom.errors import ConfigFault

FOLDER = '[destinations.out]\nkind = "folder"\npath = "out"\n'
STOW = '[destinations.web]\nkind = "stow"\n'
STORE = '[destinations.lake]\nkind = "object-store"\n'
MODEL = '[models.m]\nmodel = "m"\n'
TLS = '[tls]\ncertificate = "a"\nkey = "b"\n'
RULE = '[[rules]]\nname = "r"\nsend = ["out"]\n'

SHAPE = [
    ('[node]\nae_titel = "X"', "node.ae_titel", "did you mean 'ae_title'?"),
    ("[nodes]", "nodes", "did you mean 'node'?"),
    ("[settle]\nxyzzy = 1", "settle.xyzzy", "known keys: incomplete_s, quiet_s, release_s, study"),
    ("node = 1", "node", "must be a table"),
    ("peers = 1", "peers", "must be a table"),
    ("[peers]\nA = 1", "peers.A", "must be a table"),
    ('[peers."CT 1"]\nhots = "h"', 'peers."CT 1".hots', "did you mean 'host'?"),
    ("rules = 1", "rules", "must be a list"),
    ("rules = [1]", "rules[0]", "must be a table"),
    ('[node]\nport = "104"', "node.port", "must be a whole number"),
    ("[node]\nport = 1.5", "node.port", "must be a whole number"),
    ("[node]\nport = true", "node.port", "must be a whole number"),
    ("[node]\nport = 65536", "node.port", "must be at most 65535"),
    ("[node]\nworkers = -1", "node.workers", "must be at least 0"),
    ("[node]\nworkers = 99999999999999999999", "node.workers", "no setting can have"),
    ("[node]\ndata_dir = 1", "node.data_dir", "must be text in quotes"),
    ("[node]\nae_title = 1", "node.ae_title", "must be text in quotes"),
    ("[node]\naccept_unknown_callers = 1", "node.accept_unknown_callers", "true or false"),
    ("[settle]\nquiet_s = 0", "settle.quiet_s", "must be more than 0"),
    ("[settle]\nquiet_s = nan", "settle.quiet_s", "must be"),
    ('[settle]\nquiet_s = "30"', "settle.quiet_s", "must be a number"),
    ("[settle]\nquiet_s = 2026-01-01", "settle.quiet_s", "is a date or a time"),
    ('[log]\nlevel = "loud"', "log.level", "must be 'debug', 'info', 'warning' or 'error'"),
    ('[peers.A]\nmay = ["steal"]', "peers.A.may[0]", "must be 'store', 'find'"),
    ('[peers.A]\nmay = "store"', "peers.A.may", "must be a list"),
    ('[peers.A]\naddresses = "10.1.2.3"', "peers.A.addresses", "must be a list"),
    ("[peers.A]\naddresses = [1]", "peers.A.addresses[0]", "must be text"),
    ("[peers.A]\ntls_name = 1", "peers.A.tls_name", "must be a list"),
    ("[peers.A]\nmax_associations = 0", "peers.A.max_associations", "must be at least 1"),
    ("[node]\nslow_below_mb = -1", "node.slow_below_mb", "must be at least 0"),
    ('[node]\nrefuse_below_mb = "1"', "node.refuse_below_mb", "must be a whole number"),
    ('[destinations.x]\npath = "p"', "destinations.x.kind", "is missing"),
    ('[destinations.x]\nkind = "sftp"', "destinations.x.kind", "must be one of 'folder'"),
    ('[destinations.x]\nkind = "folder"', "destinations.x.path", "is missing"),
    (FOLDER + "pth = 1", "destinations.out.pth", "did you mean 'path'?"),
    (STORE + 'url = "http://b"', "destinations.lake.url", "must begin with s3://"),
    (STOW + 'url = "ftp://b"', "destinations.web.url", "must begin with http:// or https://"),
    (STOW + 'url = "https://h"\nauth = { kind = "digest" }', "destinations.web.auth.kind",
     "must be one of 'basic'"),
    (STOW + 'url = "https://h"\nauth = { kind = "basic", user = "u" }',
     "destinations.web.auth.password", "is missing"),
    ('[peers.P]\ntls = { cert = "x" }', "peers.P.tls.cert", "known keys: ca"),
    ('[peers.P]\ntls = "yes"', "peers.P.tls", "must be"),
    ('[profiles.p]\nbase = "full"\nkey = { env = "PATH" }', "profiles.p.base", "must be 'basic'"),
    ("[profiles.p]", "profiles.p.key", "is missing"),
    ('[profiles.p]\nkey = "a"', "profiles.p.key", '{ env = "NAME" } or { file = "path" }'),
    ("[profiles.p]\nkey = {}", "profiles.p.key", "either"),
    ('[profiles.p]\nkey = { env = "A", file = "b" }', "profiles.p.key", "either"),
    (MODEL + "endpoints = []", "models.m.endpoints", "needs 1 or more"),
    ('[[rules]]\nsend = ["out"]\n' + FOLDER, "rules[0].name", "is missing"),
    (FOLDER + RULE + "when = 1", "rules[0].when", "must be a table"),
    (FOLDER + RULE + "when = { Rows = true }", "rules[0].when.Rows", "must be text, a number"),
    (FOLDER + RULE + "when = { Rows = [1, true] }", "rules[0].when.Rows[1]", "must be text, a"),
    (FOLDER + RULE + "when = { Rows = {} }", "rules[0].when.Rows", "must be text, a number"),
    (FOLDER + RULE + "when = { Rows = { not = { not = 1 } } }", "rules[0].when.Rows.not",
     "must be text, a number"),
    (FOLDER + RULE + "expr = 1", "rules[0].expr", "must be text in quotes"),
    (FOLDER + RULE + "stop = 1", "rules[0].stop", "must be true or false"),
    (FOLDER + RULE + "priority = 1001", "rules[0].priority", "must be at most 1000"),
    ('[mqtt]\nurl = "http://h"', "mqtt.url", "must begin with mqtt://"),
]  # fmt: skip

MEANING = [
    ('[node]\nae_title = "SEVENTEEN LETTERS"', "node.ae_title", "is no AE title"),
    ('[node]\nae_title = ""', "node.ae_title", "is no AE title"),
    ("[node]\nae_title = 'A\\B'", "node.ae_title", "is no AE title"),
    ('[node]\nprivate_sop_classes = ["1.2.3", "1.02"]', "node.private_sop_classes[1]", "no UID"),
    ("[node]\nport = 8080", "http.port", "is 8080, the same as node.port"),
    (TLS + "port = 11112", "tls.port", "is 11112, the same as node.port"),
    (TLS + 'port = 8080\n[node]\nhost = "127.0.0.1"', "http.port", "the same as tls.port"),
    ("[node]\nplain = false", "node.plain", "there is no [tls]"),
    ('[tls]\ncertificate = "a"', "tls.key", "is missing"),
    (TLS + 'minimum = "1.1"', "tls.minimum", "must be '1.2' or '1.3'"),
    ("[node]\nreserve_mb = 500\nrefuse_below_mb = 499", "node.refuse_below_mb",
     "must be at least reserve_mb, which is 500"),
    ("[node]\nrefuse_below_mb = 2000\nslow_below_mb = 1999", "node.slow_below_mb",
     "must be at least refuse_below_mb, which is 2000"),
    ("[node]\nslow_below_mb = 1000", "node.slow_below_mb",
     "which is 1024, twice reserve_mb, by default"),
    ('[peers.A]\naddresses = ["10.0.0.1", "ct1"]', "peers.A.addresses[1]", "no IP address"),
    ('[peers.A]\naddresses = ["10.1.2.3/16"]', "peers.A.addresses[0]", "mean 10.1.0.0/16?"),
    ('[peers.A]\ntls_name = "a"', "peers.A.tls_name", "there is no [tls]"),
    ('[peers.A]\ntls_name = "a"\n' + TLS, "peers.A.tls_name", "[tls] has no client_ca"),
    ('[peers.A]\ntls_name = ["a", " b"]\n' + TLS + 'client_ca = "c"', "peers.A.tls_name[1]",
     "no name in a certificate"),
    ("[peers.SEVENTEEN_LETTERS]", "peers.SEVENTEEN_LETTERS", "is no AE title"),
    ('[destinations.x]\nkind = "dicom"\npeer = "PAC"\n[peers.PACS]', "destinations.x.peer",
     "there is no peer 'PAC'; did you mean 'PACS'?"),
    ('[destinations.x]\nkind = "dicom"\npeer = "PACS"', "destinations.x.peer", "none is defined"),
    ('[destinations.x]\nkind = "dicom"\npeer = "P"\n[peers.P]\nport = 1', "destinations.x.peer",
     "[peers.P] has no host"),
    ('[destinations.x]\nkind = "dicom"\npeer = "P"\n[peers.P]\nhost = "h"', "destinations.x.peer",
     "[peers.P] has no port"),
    ('[destinations." "]\nkind = "folder"\npath = "p"', 'destinations." "', "needs a name"),
    (STORE + 'url = "s3://"', "destinations.lake.url", "names no bucket"),
    (STOW + 'url = "https://"', "destinations.web.url", "names no host"),
    (STOW + 'url = "https://u:hunter2@h/w"', "destinations.web.url", "keys of their own"),
    (STOW + 'url = "http://pacs.example/w"', "destinations.web.url", "in the clear"),
    (STOW + 'url = "http://127.0.0.1.example/w"', "destinations.web.url", "in the clear"),
    (STOW + 'url = "https://h/w"\nauth = { kind = "oauth2", token_url = "http://h/token",'
     ' client_id = "c", client_secret = { env = "PATH" } }',
     "destinations.web.auth.token_url", "in the clear"),
    (STOW + 'url = "https://h/w"\nauth = { kind = "basic", user = "u", password = '
     '{ file = "absent" } }', "destinations.web.auth.password.file", "cannot be read"),
    (STOW + 'url = "https://h/w"\ntls = { ca = "absent.pem" }', "destinations.web.tls.ca",
     "there is no file"),
    ('[peers.P]\ntls = { ca = "absent.pem" }', "peers.P.tls.ca", "there is no file"),
    ('[peers.P]\ntls = { key = "node.toml" }', "peers.P.tls.certificate", "is missing beside key"),
    (STORE + 'url = "file://folder"', "destinations.lake.url", "from the root"),
    (STORE + 'url = "s3://bucket/a?b"', "destinations.lake.url", "must not have ? or #"),
    (STORE + 'url = "s3://k:hunter2@b"', "destinations.lake.url", "keys of their own"),
    (STORE + 'url = "s3://b"\nendpoint = "host:1"', "destinations.lake.endpoint", "http://"),
    (STORE + 'url = "s3://b"\nendpoint = "http://h:x"', "destinations.lake.endpoint", "http://"),
    (STORE + 'url = "s3://b"\nendpoint = "http://u:hunter2@h"', "destinations.lake.endpoint",
     "keys of their own"),
    (STORE + 'url = "s3://b"\naccess_key = { env = "PATH" }', "destinations.lake.secret_key",
     "is missing beside access_key"),
    (MODEL + 'endpoints = ["h:1", "http://h:1"]', "models.m.endpoints[1]", "in the clear"),
    (MODEL + 'endpoints = ["h"]', "models.m.endpoints[0]", "must be host:port"),
    (MODEL + 'endpoints = ["far:8001"]\ntoken = { env = "HOME" }', "models.m.endpoints[0]",
     "the token or the headers in the clear"),
    (MODEL + 'endpoints = ["h:1"]\ntls = {}\ntoken = { env = "NO_SUCH_TOKEN" }',
     "models.m.token.env", "not set"),
    (MODEL + 'endpoints = ["h:1"]\ntls = {}\nheaders = { x-key = { env = "NO_SUCH_TOKEN" } }',
     "models.m.headers.x-key.env", "not set"),
    (MODEL + 'endpoints = ["h:1"]\nsplit = { "2" = 0.1 }\nsplit_key = { file = "none" }',
     "models.m.split_key.file", "cannot be read"),
    (MODEL + 'endpoints = ["h:1"]\ntls = { ca = "none.pem" }', "models.m.tls.ca",
     "there is no file"),
    (FOLDER + RULE + RULE, "rules[1].name", "is the name of rules[0] too"),
    (FOLDER + '[[rules]]\nname = " "\nsend = ["out"]', "rules[0].name", "needs a name"),
    (FOLDER + '[[rules]]\nname = "r"\nsend = ["out", "uot"]', "rules[0].send[1]",
     "there is no destination 'uot'; did you mean 'out'?"),
    (FOLDER + '[[rules]]\nname = "r"\nsend = ["out", "out"]', "rules[0].send[1]", "twice"),
    (FOLDER + RULE + 'profile = "p"', "rules[0].profile", "there is no profile 'p'"),
    (FOLDER + RULE + 'infer = ["m"]\nresults_to = ["out"]', "rules[0].infer[0]", "no model 'm'"),
    (FOLDER + MODEL + 'endpoints = ["h:1"]\n' + RULE + 'infer = ["m"]', "rules[0].results_to",
     "is missing"),
    (FOLDER + MODEL + 'endpoints = ["h:1"]\n' + RULE + 'infer = ["m"]\nresults_to = ["no"]',
     "rules[0].results_to[0]", "there is no destination 'no'"),
    (FOLDER + RULE + 'results_to = ["out"]', "rules[0].results_to", "has no infer"),
    ('[[rules]]\nname = "r"', "rules[0]", "does nothing"),
    (FOLDER + RULE + 'hold_if_invalid = true\nvalidation = "off"',
     "rules[0].hold_if_invalid", "leave one of them"),
    (FOLDER + RULE + 'per = "patient"', "rules[0].per", "must be"),
    (FOLDER + RULE + 'when = { ModalitiesInStudy = "CT" }',
     "rules[0].when.ModalitiesInStudy", 'set per = "study"'),
    (FOLDER + RULE + 'expr = "NumberOfStudyRelatedSeries > 3"',
     "rules[0].expr", 'set per = "study"'),
    ("[peers.X]\nask_counts = true", "peers.X.ask_counts", "needs host and port"),
    ('[peers.X]\nmay = ["move"]\nmove_to = ["Y"]', "peers.X.move_to[0]", "no [peers.Y]"),
    ('[peers.X]\nmay = ["move"]\nmove_to = "X"', "peers.X.move_to", "no host and port"),
    ('[peers.X]\nhost = "h"\nport = 1\nmove_to = ["X"]', "peers.X.move_to", '"move" in may'),
    (FOLDER + RULE + 'when = { Modalty = "CT" }', "rules[0].when.Modalty", "'Modality'?"),
    (FOLDER + RULE + 'when = { callin_ae = "CT" }', "rules[0].when.callin_ae", "'calling_ae'?"),
    (FOLDER + RULE + "when = { Modality = [] }", "rules[0].when.Modality", "nothing matches"),
    (FOLDER + RULE + 'when = { PixelData = "x" }', "rules[0].when.PixelData", "no text"),
    (FOLDER + RULE + 'when = { ReferencedSeriesSequence = "x" }',
     "rules[0].when.ReferencedSeriesSequence", "no text to compare (VR SQ)"),
    (FOLDER + RULE + "when = { Modality = { not = [] } }", "rules[0].when.Modality.not",
     "nothing matches"),
    (FOLDER + RULE + "when = { Rows = { from = 9, to = 1 } }", "rules[0].when.Rows",
     "begins after it ends"),
    (FOLDER + RULE + 'when = { Rows = { from = "a" } }', "rules[0].when.Rows", "one number"),
    (FOLDER + RULE + "when = { Modality = { from = 1 } }", "rules[0].when.Modality", "no order"),
    (FOLDER + RULE + 'when = { StudyDate = "2026-2027" }', "rules[0].when.StudyDate", "YYYYMMDD"),
    (FOLDER + RULE + 'when = { StudyDate = "20270101-20260101" }', "rules[0].when.StudyDate",
     "begins after it ends"),
    (FOLDER + RULE + 'when = { StudyDate = "-" }', "rules[0].when.StudyDate", "open at both ends"),
    (FOLDER + RULE + 'when = { time = "22-6" }', "rules[0].when.time", '"22:00-06:00"'),
    (FOLDER + RULE + 'when = { time = "06:00-06:00" }', "rules[0].when.time", "00:00-24:00"),
    (FOLDER + RULE + "when = { time = 6 }", "rules[0].when.time", "text in quotes"),
    (FOLDER + RULE + 'when = { weekday = ["mon", "funday"] }', "rules[0].when.weekday[1]",
     "mon-fri"),
    (FOLDER + RULE + 'when = { origin = "ai" }', "rules[0].when.origin", "see results_to"),
    (FOLDER + RULE + 'when = { peer = { not = "CT" } }', "rules[0].when.peer", "no peer 'CT'"),
    (FOLDER + RULE + "when = { peer = 5 }", "rules[0].when.peer", "no peer '5'"),
    (FOLDER + RULE + "when = { Rows = { from = nan } }", "rules[0].when.Rows", "one number"),
    (FOLDER + RULE + "when = { Rows = 1" + "0" * 400 + " }", "rules[0].when.Rows", "a number"),
    (FOLDER + RULE + "priority = 1001", "rules[0].priority", "1000"),
    (FOLDER + RULE + """expr = 'Modality == "CT" &&'""", "rules[0].expr", "column 20"),
    (FOLDER + RULE + """expr = 'Modalty == "CT"'""", "rules[0].expr", "did you mean 'Modality'?"),
    (FOLDER + RULE + 'expr = "Modality == 1"', "rules[0].expr", "column 10"),
    (FOLDER + RULE + 'expr = "Modality"', "rules[0].expr", "gives text, not true or false"),
    (FOLDER + RULE + 'expr = """true &&\n  1 + true"""', "rules[0].expr", "line 2, column"),
    (FOLDER + RULE + 'expr = ""', "rules[0].expr", "Syntax error"),
    (FOLDER + RULE + 'expr = "Rows"', "rules[0].expr", "gives a number, not true or false"),
    (FOLDER + RULE + "expr = 'PixelData == \"a\"'", "rules[0].expr", "has no text to compare"),
    ('[mqtt]\nurl = "mqtt://"', "mqtt.url", "names no host"),
    ('[mqtt]\nurl = "mqtt://h:x"', "mqtt.url", "names no host"),
    ('[mqtt]\nurl = "mqtt://h/topic"', "mqtt.url", "must end after the port"),
    ('[mqtt]\nurl = "mqtt://u:hunter2@h"', "mqtt.url", "keys of their own"),
    ('[mqtt]\nurl = "mqtt://h"\ntopic = "a/#"', "mqtt.topic", "must not hold + or #"),
    ('[mqtt]\nurl = "mqtt://h"\ntopic = ""', "mqtt.topic", "must not be empty"),
    ('[mqtt]\nurl = "mqtt://h"\ntopic = "/a"', "mqtt.topic", "begin or end with /"),
    ('[mqtt]\nurl = "mqtt://h"\npassword = { env = "PATH" }', "mqtt.username", "is missing"),
    ('[mqtt]\nurl = "mqtts://h"\nca_file = "ca.pem"', "mqtt.ca_file", "there is no file"),
    ('[mqtt]\nurl = "mqtt://h"\nca_file = "node.toml"', "mqtt.ca_file", "mqtts://"),
]  # fmt: skip

SYNTAX = [
    ("[node]\nport 1", "node.toml:2:6", "line 2, column 6"),
    ("[node]\nport = ", "node.toml", "at the end of the file"),
    ("[node]\nport = 1\nport = 2", "node.toml", "is no TOML: Cannot overwrite a value"),
    ("a = " + "[" * 5000, "node.toml", "nested too deeply"),
    ("a = " + "9" * 5000, "node.toml", "out of bounds"),
    (".".join("a" * 40) + " = 1", ".".join("a" * 16), "nested too deeply"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "path", "words"), SHAPE + MEANING)
def test_each_fault_is_told_once_at_its_path(faults, text, path, words):
    """A file with one fault yields that fault at its path, in words that name the fix."""
    found = faults(text)
    assert words in found[path]
    assert set(found) == {path}


@pytest.mark.parametrize(("text", "path", "words"), SYNTAX)
def test_what_is_no_toml_is_told_with_its_place(faults, text, path, words):
    """A syntax error names file, line and column."""
    found = faults(text)
    assert words in found[path]


def test_all_faults_come_at_once(faults):
    """One run tells every fault of every kind, in whatever table."""
    text = """
        [node]
        prot = 1
        ae_title = ""
        [settle]
        quiet_s = 0
        [destinations.x]
        kind = "dicom"
        peer = "P"
        timeout_s = "1"
        [profiles.p]
        key = { file = "none" }
        [[rules]]
        name = 1
        send = ["y"]
        profile = "q"
        when = { Nothing = "x" }
    """
    assert set(faults(text)) == {
        "node.prot", "node.ae_title", "settle.quiet_s", "destinations.x.peer",
        "destinations.x.timeout_s", "profiles.p.key.file", "rules[0].name", "rules[0].send[0]",
        "rules[0].profile", "rules[0].when.Nothing",
    }  # fmt: skip


def test_a_file_that_is_not_there_or_not_utf8_is_a_fault(folder):
    """A missing file and a file in another encoding are faults that name the file."""
    with pytest.raises(ConfigFault, match="No such file"):
        load(folder / "node.toml")
    (folder / "node.toml").write_bytes(b'[node]\nae_title = "M\xfcnchen"')
    with pytest.raises(ConfigFault, match=r"node\.toml:2: is not UTF-8"):
        load(folder / "node.toml")


def test_relative_paths_are_taken_from_the_config_files_folder(folder, monkeypatch):
    """Wherever the command is run, data_dir, folders and secret files lie by the config file."""
    key = folder / "p.key"
    key.write_text("secret")
    key.chmod(0o600)
    (folder / "ca.pem").write_text("")
    (folder / "node.toml").write_text(
        '[destinations.a]\nkind = "folder"\npath = "out"\n'
        '[destinations.b]\nkind = "folder"\npath = "/abs"\n'
        '[profiles.p]\nkey = { file = "p.key" }\n'
        '[mqtt]\nurl = "mqtts://h"\nca_file = "ca.pem"\n'
    )
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    settings = load(Path("../node.toml"))
    assert settings.node.data_dir.resolve() == folder / "var"
    assert settings.node.data_dir.is_absolute()
    assert settings.destinations["a"].path.resolve() == folder / "out"
    assert settings.destinations["b"].path == Path("/abs")
    assert settings.profiles["p"].key.file.resolve() == key
    assert settings.mqtt.ca_file.resolve() == folder / "ca.pem"


def test_settings_stay_frozen(folder):
    """What was loaded cannot be changed in place."""
    (folder / "node.toml").write_text('[node]\ndata_dir = "here"')
    settings = load(folder / "node.toml")
    with pytest.raises(pydantic.ValidationError):
        settings.node.port = 1
    assert settings.node.model_copy(update={"data_dir": Path("var")}) == Settings().node


@pytest.mark.parametrize("host", ["10.0.0.1", "10.0.0.2"])
def test_one_port_on_two_addresses_is_no_fault(faults, host):
    """DICOM and HTTP may have the same port on different addresses of the machine."""
    text = f'[node]\nhost = "{host}"\nport = 1000\n[http]\nhost = "10.0.0.1"\nport = 1000'
    assert bool(faults(text)) is (host == "10.0.0.1")


def test_free_ports_do_not_collide(faults):
    """Port 0 means any free port, for both doors."""
    assert faults("[node]\nport = 0\n[http]\nport = 0") == {}


def test_conf_d_is_merged(folder, faults):
    """Tables of conf.d are merged and rules appended, in the order of the file names."""
    assert faults(FOLDER + RULE, b='[[rules]]\nname = "late"\nsend = ["more"]', a=(
        '[destinations.more]\nkind = "folder"\npath = "more"\n'
        '[[rules]]\nname = "early"\nsend = ["more"]\n[node]\nport = 104'
    )) == {}  # fmt: skip
    settings = load(folder / "node.toml")
    assert [rule.name for rule in settings.rules] == ["r", "early", "late"]
    assert set(settings.destinations) == {"out", "more"}
    assert settings.node.port == 104


def test_a_key_in_two_files_is_a_fault(faults):
    """Two files that set the same key are told apart by name."""
    found = faults(
        '[node]\nport = 1\nprivate_sop_classes = ["1.2"]',
        a="[node]\nport = 2",
        b='[node]\nprivate_sop_classes = ["1.3"]',
    )
    assert found["node.port"] == "is set in node.toml and again in conf.d/a.toml; keep one of them"
    assert "node.private_sop_classes" in found


def test_a_fault_in_conf_d_names_the_file(faults):
    """A fault says which of several files it stands in; a rule's number counts through all."""
    found = faults(FOLDER + RULE, a='[[rules]]\nname = "x"\nsend = ["uot"]\n[node]\nprot = 1')
    assert found["rules[1].send[0]"].endswith("did you mean 'out'? [conf.d/a.toml]")
    assert found["node.prot"].endswith("[conf.d/a.toml]")


def test_nothing_is_guessed_about_files_that_cannot_be_read(faults):
    """A broken part of conf.d is the only fault told: others may follow from it."""
    assert set(faults(RULE, a="[peers.]")) == {"conf.d/a.toml:1:8"}


def test_a_secret_file_that_everybody_may_read_is_refused(folder, faults):
    """The fault names the command that mends it."""
    key = folder / "p.key"
    key.write_text("hunter2")
    key.chmod(0o604)
    found = faults('[profiles.p]\nkey = { file = "p.key" }')
    assert f"chmod 600 {key}" in found["profiles.p.key.file"]
    key.chmod(stat.S_IRUSR)
    assert faults('[profiles.p]\nkey = { file = "p.key" }') == {}


@pytest.mark.parametrize(
    ("line", "validation"),
    [("", "record"), ("hold_if_invalid = true", "hold"), ("hold_if_invalid = false", "record")],
)
def test_hold_if_invalid_is_short_for_validation(tmp_path, line, validation):
    """Both names of the setting mean the same."""
    file = tmp_path / "node.toml"
    file.write_text(FOLDER + RULE + line)
    assert load(file).rules[0].validation == validation
