"""The table, the profile data over it, and the key."""

import base64
import json
from importlib.resources import files

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from config.profiles import Profile as ProfileSettings
from config.shapes import Secret
from deid import encode, parse
from deid.apply import deidentify
from deid.profile import Action, compile_profile, read_base
from deid.pseudonym import Pseudonyms, new_key, read_key
from deid.table import table
from deid.table.dictionary import VRS
from dicom.errors import ConfigFault
from dicom.uid import is_valid

ROWS = json.loads((files("deid.table") / "ps315_e1_1.json").read_text())["rows"]
EXACT = [row for row in ROWS if "x" not in row["tag"] and row["tag"] != "private"]
SETTINGS = ProfileSettings(key=Secret(env="UNUSED"))
KEY = bytes(range(100, 140))
BEFORE = "PYXVRIEY7RR2PYRBNEZN4"
"""What the first release made of patient 7."""
SAMPLES = {"DA": b"19991231", "DT": b"19991231", "TM": b"1159", "AS": b"077Y", "DS": b"7.5",
           "IS": b"75", "UI": b"1.2.276.99.1", "US": b"\7\0", "OB": b"\7\7", "UN": b"\7\7",
           "UR": b"http://x"}  # fmt: skip


def fields() -> list[tuple[int, bytes]]:
    base = [(0x00080016, b"1.2.826.0.1.99"), (0x00080018, b"1.2.3.1"),
            (0x0020000D, b"1.2.3"), (0x0020000E, b"1.2.3.0")]  # fmt: skip
    return [(tag, encode.element(tag, "UI", value, parse.EXPLICIT_LITTLE)) for tag, value in base]


def part10(tag: int, element: bytes) -> bytes:
    syntax = encode.element(0x00020010, "UI", b"1.2.840.10008.1.2.1", parse.EXPLICIT_LITTLE)
    parts = [each for each in fields() if each[0] != tag] + [(tag, element)]
    return b"\0" * 128 + b"DICM" + syntax + b"".join(part for _, part in sorted(parts))


def test_every_row_of_the_table_is_indexed_by_tag():
    """No row is lost, and no tag is decided twice."""
    facts = table.load()
    assert len(facts.by_tag) + len(facts.masked) + 1 == len(ROWS) == 656
    assert all(facts.row(int(row["tag"], 16)).basic == row["basic"] for row in EXACT)


@pytest.mark.parametrize(
    ("tag", "basic"),
    [(0x50003000, "X"), (0x501E0005, "X"), (0x60003000, "X"), (0x60024000, "X"),
     (0x00091001, "X"), (0x60000010, None), (0x00280010, None)],
)  # fmt: skip
def test_masks_speak_for_repeating_groups_and_private_tags(tag, basic):
    """Curves, overlays and private attributes are found without rows of their own."""
    row = table.load().row(tag)
    assert (row and row.basic) == basic


@pytest.mark.parametrize("row", EXACT, ids=lambda row: row["keyword"] or row["tag"])
def test_every_row_is_carried_out(row, profile):
    """In an object of unknown IOD each listed attribute meets the strictest action it names."""
    tag = int(row["tag"], 16)
    vr = (VRS.get(tag) or row["vr"] or "LO")[:2]
    action = profile.action(tag)
    if vr == "SQ" or tag >> 16 in {0x0000, 0x0002, 0x0004} or action is Action.REFUSE:
        assert action is not Action.KEEP
        return
    sample = SAMPLES.get(vr, b"SECRET")
    element = encode.element(tag, vr, sample, parse.EXPLICIT_LITTLE)
    out = b"".join(deidentify(part10(tag, element), profile).chunks)
    start = out.index(b"DICM") + 4
    _, start = parse.read_group(memoryview(out), start, 2, parse.EXPLICIT_LITTLE)
    after = parse.read(memoryview(out)[start:], parse.EXPLICIT_LITTLE)
    found = {each.tag: bytes(each.value) for each in after}
    if action is Action.REMOVE:
        assert tag not in found or tag == 0x00120063
    elif action is Action.EMPTY:
        assert found[tag] == b""
    else:
        assert found[tag].strip(b"\0 ") or vr in {"OB", "UN", "US"}
    assert found.get(tag, b"").strip(b"\0 ") != sample


def test_choices_of_the_table_become_what_is_valid_for_the_strictest_type():
    """X/Z is emptied, whatever names D is replaced, UID references are mapped."""
    actions = read_base("basic").actions
    assert actions[0x00080022] is Action.EMPTY
    assert actions[0x00080021] is actions[0x00080023] is actions[0x00080080] is Action.DUMMY
    assert actions[0x00081140] is Action.UID


def test_every_public_attribute_has_a_decided_action_and_every_departure_a_reason():
    """What is not in the map is removed; exceptions say why."""
    base = read_base("basic")
    assert set(VRS) <= set(base.actions)
    assert all(len(reason) > 20 for reason in base.reasons.values())


REFUSED = [
    ({"options": ["full-dates", "modified-dates"]}, "options", "exclude each other"),
    ({"base": "research", "options": ["full-dates"]}, "options", "exclude each other"),
    ({"without": ["retain-uids"]}, "options", "does not turn it on"),
    ({"options": ["retain-uids"], "without": ["retain-uids"]}, "options", "both asked for"),
    ({"vocabulary": "/nowhere/words.txt"}, "vocabulary", "cannot be read"),
    ({"device_rules": "/nowhere/rules.toml"}, "device_rules", "decides nothing"),
    ({"base": "teaching", "device_rules": "/nowhere/rules.toml"}, "device_rules", "cannot be read"),
]
WRONG_EXCEPTIONS = [
    ("0010,10", "keep", "no tag"),
    ("NoSuchKeyword", "keep", "no tag"),
    ("0009,1001", "keep", "retain-safe-private"),
    ("0002,0010", "keep", "no place"),
    ("PatientIdentityRemoved", "remove", "afresh"),
    ("PixelData", "keep", "clean-pixel-data"),
    ("0012,0EEE", "keep", "does not know"),
    ("0010,xxxx", "keep", "repeating groups"),
    ("PatientName", "uid", "holds no UIDs"),
    ("StudyID", "pseudonym", "cannot hold"),
    ("PatientName", "clean", "cannot be cleaned"),
    ("StudyDate", "pseudonym", "cannot hold"),
    ("SOPInstanceUID", "dummy", "mapped"),
]


def said(**values) -> ProfileSettings:
    return ProfileSettings.model_validate({"key": Secret(env="UNUSED"), **values})


@pytest.mark.parametrize(("settings", "key", "words"), REFUSED)
def test_settings_that_cannot_be_carried_out_are_config_faults(settings, key, words):
    """A profile never promises what it does not do, and every problem comes at once."""
    with pytest.raises(ConfigFault) as caught:
        compile_profile("trial", said(**settings), b"short")
    problems = dict(caught.value.problems)
    assert words in problems[f"profiles.trial.{key}"]
    assert "profiles.trial.key" in problems


@pytest.mark.parametrize(("tag", "action", "words"), WRONG_EXCEPTIONS)
def test_an_exception_that_nobody_can_carry_out_is_a_config_fault(tag, action, words):
    """Each slip in an exception is named with its place in the list."""
    listed = [{"tag": tag, "action": action, "reason": "because"}]
    with pytest.raises(ConfigFault, match=words) as caught:
        compile_profile("trial", said(exceptions=listed), KEY)
    assert caught.value.problems[0][0] == "profiles.trial.exceptions[0]"


def test_exceptions_have_the_last_word():
    """A site's exception stands over options, profile and table; a mask speaks for each group."""
    listed = [
        {"tag": "0008,1030", "action": "empty", "reason": "a"},
        {"tag": "StudyDate", "action": "clean", "reason": "b"},
        {"tag": "(0010,0010)", "action": "remove", "reason": "c"},
        {"tag": "60xx,xxxx", "action": "keep", "reason": "d"},
    ]
    made = compile_profile("s", said(base="research", exceptions=listed), KEY)
    tags = (0x00081030, 0x00080020, 0x00100010, 0x60023000)
    assert [made.action(tag).value for tag in tags] == ["Z", "S", "X", "K"]
    assert made.digest != compile_profile("s", said(base="research"), KEY).digest


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_an_overlay_stays_by_a_sites_exception_alone(build, clean, compiled, syntax):
    """A site that knows its overlays keeps them with a reason; text in them is still searched."""
    dataset = Dataset()
    dataset.PatientName = "Doe^Archibald"
    for tag, vr, value in ((0x60000010, "US", 1), (0x60000022, "LO", "of Doe"),
                           (0x60003000, "OW", b"\0\1")):  # fmt: skip
        dataset.add_new(tag, vr, value)
    kept = {"tag": "60xx,xxxx", "action": "keep", "reason": "masks of regions, made by us"}
    after = clean(build(dataset, syntax), compiled(exceptions=[kept]))
    assert after[0x60003000].value == b"\0\1"
    assert after[0x60000022].value == "ANONYMIZED"
    assert 0x60003000 not in clean(build(dataset, syntax), compiled())


def test_whatever_decides_is_in_the_digest(tmp_path):
    """Each setting that changes what comes out, or whether there is a way back, changes it."""
    words, rules = tmp_path / "words", tmp_path / "rules"
    words.write_text("gonzo")
    rules.write_text(
        '[[device]]\nname = "ours"\nreason = "seen"\n'
        'when = { Manufacturer = "ACME" }\nclean = true\n'
    )
    settings = [
        {}, {"base": "research"}, {"options": ["retain-uids"]}, {"documents": "replace"},
        {"project": "b"}, {"vocabulary": words}, {"options": ["clean-pixel-data"]},
        {"options": ["clean-pixel-data"], "device_rules": rules},
        {"base": "research", "without": ["retain-device"]}, {"reversible": True},
    ]  # fmt: skip
    made = [compile_profile("s", said(**each), KEY).digest for each in settings]
    assert len(set(made)) == len(settings)


def test_projects_share_no_pseudonyms_and_none_is_as_before():
    """Two projects under one key cannot be linked; without a project nothing changed."""
    one, two, none = Pseudonyms(KEY, "a"), Pseudonyms(KEY, "b"), Pseudonyms(KEY)
    assert len({each.uid("1.2.3") for each in (one, two, none)}) == 3
    assert len({each.patient("7", "") for each in (one, two, none)}) == 3
    assert none.patient("7", "") == BEFORE


def test_a_digest_names_the_rules_and_not_the_key():
    """Two nodes with the same rules agree on the digest, whatever they call the profile."""
    one, two = compile_profile("a", SETTINGS, KEY), compile_profile("b", SETTINGS, new_key())
    assert one.digest == two.digest
    assert len(one.digest) == 64
    assert all(len(words) <= 64 for words in one.method())


@pytest.mark.parametrize(
    "raw",
    [KEY, base64.b64encode(KEY), base64.b64encode(KEY) + b"\n", KEY.hex().encode() + b"\r\n"],
)
def test_a_key_is_read_in_each_of_its_forms(raw):
    """Base64, hex and raw bytes give the same key, and reading twice changes nothing."""
    assert read_key(raw) == KEY
    assert read_key(read_key(raw)) == KEY


@pytest.mark.parametrize(
    "raw",
    [b"", b"secret", b"correct horse battery staple correct horse", KEY[:31], b"\0" * 64,
     base64.b64encode(KEY[:20]), b"00" * 32, b"abc"],
)  # fmt: skip
def test_a_weak_key_is_refused_with_the_remedy(raw):
    """Passphrases, short keys and constant bytes are no keys."""
    with pytest.raises(ValueError, match="penumbra key new"):
        read_key(raw)


def test_a_new_key_can_be_read():
    """What `penumbra key new` writes is good, and never twice the same."""
    first, second = new_key(), new_key()
    assert read_key(first) != read_key(second)


def test_pseudonyms_depend_on_the_key_and_on_nothing_else():
    """Stateless: two makers agree, two keys do not, and kinds do not mix."""
    one, same, other = Pseudonyms(KEY), Pseudonyms(KEY), Pseudonyms(KEY[::-1])
    assert one.uid("1.2.3") == same.uid("1.2.3") != other.uid("1.2.3")
    assert one.patient("7", "A") == same.patient(" 7 ", "A ") != other.patient("7", "A")
    assert one.patient("7", "A") != one.patient("7", "B")
    assert is_valid(one.uid("1.2.3"))
    assert one.uid("1.2.3").startswith("2.25.")
    assert one.uid("1.2.840.10008.1.2") == "1.2.840.10008.1.2"
