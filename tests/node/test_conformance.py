"""The conformance statement: it is in the order of PS3.2, and says what the code says."""

import re
import ssl
from pathlib import Path

import pytest
from click.testing import CliRunner

from ai.report import original, sr
from config.certificates import CIPHERS
from config.model import Settings
from dicom import query
from dicom.attributes import CATALOGUE, Attribute, Level
from dicom.errors import CannotUnderstand, ConfigFault, DeliveryFault
from dicom.matching import NotAKey, criterion
from dicom.peek import HEAD_BYTES
from dicom.store_answer import judge
from examples.peers.find_scu import identifier
from node import conformance
from node.commands.conformance import DOCUMENT, command
from node.conformance_markdown import filled, places, rows, table
from node.conformance_services import name_of
from node.services.find import MODELS
from storage.destinations.tally import IN_A_ROW

MADE_UP = "1.2.826.0.1.3680043.10.999.1"

HEADINGS = [
    "1 Conformance Statement Overview",
    "2 Table of Contents",
    "3 Introduction",
    "3.1 Revision History",
    "3.2 Audience",
    "3.3 Remarks",
    "3.4 Terms and Definitions",
    "3.5 Basics of DICOM Communication",
    "3.6 Abbreviations",
    "3.7 References",
    "4 Networking",
    "4.1 Implementation Model",
    "4.1.1 Application Data Flow",
    "4.1.2 Functional Definition of AEs",
    "4.1.3 Sequencing of Real-World Activities",
    "4.2 AE Specifications",
    "4.2.1 The Node AE",
    "4.2.1.1 SOP Classes",
    "4.2.1.2 Association Policies",
    "4.2.1.2.1 General",
    "4.2.1.2.2 Number of Associations",
    "4.2.1.2.3 Asynchronous Nature",
    "4.2.1.2.4 Implementation Identifying Information",
    "4.2.1.3 Association Initiation Policy",
    "4.2.1.4 Association Acceptance Policy",
    "4.2.2 The Command AE",
    "4.3 Network Interfaces",
    "4.3.1 Physical Network Interface",
    "4.3.2 Additional Protocols",
    "4.3.3 IPv4 and IPv6 Support",
    "4.4 Configuration",
    "4.4.1 AE Title/Presentation Address Mapping",
    "4.4.1.1 Local AE Titles",
    "4.4.1.2 Remote AE Titles",
    "4.4.2 Parameters",
    "5 Media Interchange",
    "6 Support of Character Sets",
    "7 Security",
    "7.1 Security Profiles",
    "7.2 Association Level Security",
    "7.3 Application Level Security",
    "8 Annexes",
    "8.1 IOD Contents",
    "8.1.1 Created SOP Instances",
    "8.1.2 Usage of Attributes from Received IODs",
    "8.1.3 Attribute Mapping",
    "8.1.4 Coerced/Modified Fields",
    "8.2 Data Dictionary of Private Attributes",
    "8.3 Coded Terminology and Templates",
    "8.4 Grayscale Image Consistency",
    "8.5 Standard Extended, Specialized and Private SOP Classes",
    "8.6 Private Transfer Syntaxes",
]
"""What PS3.2 asks for, in its order."""


@pytest.fixture(scope="module")
def document() -> str:
    """The statement as people read it."""
    return DOCUMENT.read_text("utf-8")


# -- the document


def test_the_document_is_what_the_code_says(document: str) -> None:
    """Every table is as the code renders it now: `penumbra conformance --write` mends it."""
    assert conformance.statement(document, Settings()) == document


def test_the_headings_are_those_of_the_standard(document: str) -> None:
    """PS3.2's headings stand there once each, in its order."""
    found = re.findall(r"^#{2,6} (\d.*)$", document, re.MULTILINE)
    assert [heading for heading in found if heading in HEADINGS] == HEADINGS


def test_headings_count_up(document: str) -> None:
    """No section is left out or doubled: each number follows from the one before."""
    numbers = re.findall(r"^#{2,6} ([\d.]+) ", document, re.MULTILINE)
    before: list[int] = []
    for number in (list(map(int, text.split("."))) for text in numbers):
        depth = len(number)
        followers = [
            [*before, 1],
            [*before[: depth - 1], (before[depth - 1 : depth] or [0])[0] + 1],
        ]
        assert number in followers, number
        before = number


def test_every_uid_has_a_name(document: str) -> None:
    """A reader sees what PS3.6 calls each class and syntax, not its number twice."""
    for name in ("classes", "transfer-syntaxes"):
        for label, uid, _ in rows(document, name):
            assert label not in {uid, "private"}, uid


def test_sections_that_are_named_are_there(document: str) -> None:
    """A reference such as 4.2.1.4.3.2 leads to a heading, or to a paragraph that begins so."""
    there = set(re.findall(r"^(?:#{2,6} |\*\*)(\d[\d.]*\d)", document, re.MULTILINE))
    prose = re.sub(r"^#.*$", "", document, flags=re.MULTILINE)
    named = set(re.findall(r"(?<![\w.])((?:4|8)\.\d(?:\.\d+)*)(?![\w.]*\d)", prose))
    assert {"4.2.1.4.3.3", "8.7"} <= named <= there


def test_prose_keeps_its_numbers(document: str) -> None:
    """Numbers that the prose gives in words are those of the code."""
    assert IN_A_ROW == 3
    assert "unless three in a row do" in document
    assert f"first {HEAD_BYTES // 1024} KiB of the dataset" in document
    assert f"SeriesNumber {sr.SERIES_NUMBER}" in document


def test_every_attribute_that_a_report_copies_is_named(document: str) -> None:
    """What identifies the patient in a report stands in 8.1.1."""
    section = document.split("#### 8.1.1")[1].split("#### 8.1.2", maxsplit=1)[0]
    for keyword, _ in original.SAME_AS_SOURCE:
        assert keyword in section, keyword


def test_the_cipher_suites_are_those_that_are_offered(document: str) -> None:
    """7.1 lists what OpenSSL makes of the node's setting, no more and no less."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers(CIPHERS)
    section = document.split("### 7.1")[1].split("### 7.2", maxsplit=1)[0]
    named = set(re.findall(r"`((?:TLS_|ECDHE-)[\w-]+)`", section))
    assert named == {each["name"] for each in context.get_ciphers()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 places and a table"),
        ("<!-- generated: a -->\n<!-- end -->\n" * 2, "2 places and a table"),
        (
            "<!-- generated: a -->\n<!-- end -->\n<!-- generated: b -->\n<!-- end -->\n",
            "1 places and no table",
        ),
    ],
)
def test_a_lost_place_is_noticed(text: str, words: str) -> None:
    """A table without a place, with two, or a place without a table is a fault that says so."""
    with pytest.raises(CannotUnderstand, match=words):
        filled(text, {"a": "x\n"})


def test_filling_twice_changes_nothing() -> None:
    """Text around a place stays as it is, whatever the table holds, backslashes too."""
    text = "before\n<!-- generated: a -->\nold\n<!-- end -->\nbehind\n"
    tables = {"a": table(("x", "y"), [("\\1|", "z")])}
    once = filled(text, tables)
    assert "| \\1\\| | z |" in once
    assert once.startswith("before\n")
    assert once.endswith("\nbehind\n")
    assert "old" not in once
    assert filled(once, tables) == once
    assert places(once) == ["a"]


def test_the_scu_knows_every_status(document: str) -> None:
    """Of all 65,536 statuses each is taken as the row says that names it, or the last row."""
    kinds = {row[0]: row[2] for row in rows(document, "heard-statuses")}
    for code in range(0x10000):
        text = f"{code:04X}"
        named = next((kind for kind in kinds if _names(kind, text)), "any other")
        try:
            judge(code, "1.2.3")
            begin = "delivered"
        except DeliveryFault as fault:
            begin = "sent again later" if fault.retry else "not sent again"
        assert kinds[named].startswith(begin), text


def _names(kind: str, code: str) -> bool:
    parts = [part.split(" to ") for part in kind.split(", ")]
    return any(part[0] <= code <= part[-1] for part in parts if kind != "any other")


# -- queries


@pytest.mark.parametrize(("model", "root"), MODELS.items())
def test_every_key_of_the_document_is_supported(
    document: str, model: str, root: query.Root
) -> None:
    """A query with all keys that a level may hold ignores none; one key more is ignored."""
    levels = {row[1]: row[2].split(", ") for row in rows(document, "models")}[model]
    needed = {(name, level): keys for name, level, keys in rows(document, "levels")}
    keys = rows(document, "keys")
    for level in map(Level, levels):
        mine = [row[1] for row in keys if level.holds(Level(row[0]))]
        asked = identifier(**dict.fromkeys(mine), QueryRetrieveLevel=str(level))
        uppers = needed[name_of(model), str(level)]
        for keyword in [] if uppers == "none" else uppers.split(", "):
            with pytest.raises(query.BadIdentifier, match=keyword):
                query.parse(asked, root)
            setattr(asked, keyword, "1.2")
        assert query.parse(asked, root).unsupported == ()
        for name in [row[1] for row in rows(document, "sequences") if level.holds(Level(row[0]))]:
            setattr(asked, name, None)
        assert query.parse(asked, root).unsupported == ()
        asked.WindowCenter = None
        assert len(query.parse(asked, root).unsupported) == 1


def test_matching_is_as_the_table_says(document: str) -> None:
    """Wildcards, ranges and numbers are read in the keys that say so, and in no others."""
    spans = {"DA": "20200101-", "TM": "10-", "DT": "2020-"}
    for _, keyword, _, vr, _, kinds in rows(document, "keys"):
        if kinds == "none, only returned":
            continue
        attribute = CATALOGUE[keyword]
        assert read(attribute, spans.get(vr, "20200101-")).startswith("Between") == (
            "range" in kinds
        )
        assert read(attribute, "1*").startswith("Like") == ("wildcard" in kinds)
        assert (read(attribute, "x") == "is not an integer") == ("by number" in kinds)
        if "list of UIDs" in kinds:
            assert read(attribute, "1.2\\1.3") == "AnyOf(values=('1.2', '1.3'))"


def read(attribute: Attribute, text: str) -> str:
    """Say what a key asks for, or why it cannot be read."""
    try:
        return repr(criterion(attribute, text))
    except NotAKey as fault:
        return str(fault)


# -- the command


def test_the_command_prints_the_document(document: str) -> None:
    """Without options it prints the statement as it stands in the repository."""
    assert CliRunner().invoke(command, []).output == document


def test_the_command_brings_a_document_up_to_date(document: str, tmp_path: Path) -> None:
    """--write mends tables that fell behind, and leaves the prose alone."""
    stale = tmp_path / "statement.md"
    stale.write_text(re.sub(r"CT Image Storage \|", "Something else |", document))
    assert stale.read_text() != document
    done = CliRunner().invoke(command, ["--write", str(stale)])
    assert (done.exit_code, done.output) == (0, "")
    assert stale.read_text() == document


def test_a_site_sees_its_own_values(tmp_path: Path) -> None:
    """-c shows the titles, ports, peers, limits and private classes of a config file."""
    config = tmp_path / "node.toml"
    config.write_text(
        f'[node]\nae_title = "EDGE"\nport = 104\nmax_associations = 7\nidle_timeout_s = 12\n'
        f'private_sop_classes = ["{MADE_UP}"]\n'
        '[peers.CT1]\nmay = ["store"]\naddresses = ["10.0.0.0/8"]\n'
    )
    text = CliRunner().invoke(command, ["-c", str(config)]).output
    values = {row[0]: row[-1] for row in rows(text, "local-titles")}
    assert (values["AE title, called and calling"], values["Port without TLS"]) == ("EDGE", "104")
    assert ["private", MADE_UP, ""] in rows(text, "classes")
    assert rows(text, "remote-titles") == [["CT1", "", "store", "10.0.0.0/8", "none needed"]]
    assert rows(text, "associations")[0][2] == "7"
    assert {row[2] for row in rows(text, "time-outs")} >= {"12 s"}


def test_a_faulty_config_is_a_config_fault(tmp_path: Path) -> None:
    """The command line says what is wrong with the file, as `penumbra check` does."""
    done = CliRunner().invoke(command, ["-c", str(tmp_path / "missing.toml")])
    assert isinstance(done.exception, ConfigFault)


def test_an_installed_package_prints_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the document is not installed, its tables are printed under their names."""
    monkeypatch.setattr("node.commands.conformance.DOCUMENT", Path("/nowhere/conformance.md"))
    text = CliRunner().invoke(command, []).output
    for name, block in conformance.tables(Settings()).items():
        assert f"## {name}\n\n{block}" in text
