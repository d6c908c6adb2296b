"""Findings about objects as they came: each rule, clean objects, and garbage."""

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.errors import CannotUnderstand, Fault
from dicom.validation import WARNINGS, Finding, summary, validate

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
CT = "1.2.840.10008.5.1.4.1.1.2"
LONG = {"OB", "OW", "SQ", "UN", "UT", "UC", "UR"}

CLEAN = {
    0x00080008: ("CS", b"ORIGINAL\\PRIMARY\\AXIAL"),
    0x00080016: ("UI", CT.encode()),
    0x00080018: ("UI", b"1.2.3.4.5"),
    0x00080020: ("DA", b"20240229"),
    0x00080023: ("DA", b""),
    0x00080030: ("TM", b"235959.999999"),
    0x00080033: ("TM", b""),
    0x00080050: ("SH", b""),
    0x00080060: ("CS", b"CT"),
    0x00080070: ("LO", b""),
    0x00080090: ("PN", b""),
    0x00100010: ("PN", b"Doe^Jane"),
    0x00100020: ("LO", b"12345"),
    0x00100030: ("DA", b""),
    0x00100040: ("CS", b""),
    0x00180050: ("DS", b"1.25"),
    0x00180060: ("DS", b"120"),
    0x00185100: ("CS", b"HFS"),
    0x0020000D: ("UI", b"1.2.3.4"),
    0x0020000E: ("UI", b"1.2.3.5"),
    0x00200010: ("SH", b""),
    0x00200011: ("IS", b"1"),
    0x00200012: ("IS", b"1"),
    0x00200013: ("IS", b"-17"),
    0x00200020: ("CS", b""),
    0x00200032: ("DS", b"-1.5e1\\0\\+.5"),
    0x00200037: ("DS", b"1\\0\\0\\0\\1\\0"),
    0x00200052: ("UI", b"1.2.3.6"),
    0x00201040: ("LO", b""),
    0x00280002: ("US", b"\1\0"),
    0x00280004: ("CS", b"MONOCHROME2"),
    0x00280010: ("US", b"\2\0"),
    0x00280011: ("US", b"\2\0"),
    0x00280030: ("DS", b"0.5\\0.5"),
    0x00280100: ("US", b"\x10\0"),
    0x00280101: ("US", b"\x10\0"),
    0x00280102: ("US", b"\x0f\0"),
    0x00280103: ("US", b"\0\0"),
    0x00281052: ("DS", b"-1024"),
    0x00281053: ("DS", b"1"),
    0x7FE00010: ("OW", bytes(8)),
}
"""A CT image of 2 x 2 pixels that has what its IOD asks for, and nothing else."""


def written(elements, syntax=EXPLICIT) -> bytes:
    """Write elements in the order given: a mapping, or pairs where a tag stands twice."""
    order = ">" if syntax == BIG else "<"
    pairs = elements.items() if isinstance(elements, dict) else elements
    out = []
    for tag, (vr, content) in pairs:
        value = padded(vr, items(content, syntax, order) if isinstance(content, list) else content)
        swapped = value[::-1] if syntax == BIG and vr == "US" else value
        start = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
        if syntax == IMPLICIT:
            start += struct.pack("<L", len(value))
        elif vr in LONG:
            start += vr.encode() + b"\0\0" + struct.pack(order + "L", len(value))
        else:
            start += vr.encode() + struct.pack(order + "H", len(value))
        out.append(start + swapped)
    return b"".join(out)


def padded(vr, value) -> bytes:
    """Pad to even length, but for a number that is odd on purpose."""
    if len(value) % 2 and vr != "US":
        value += b"\0" if vr == "UI" else b" "
    return value


def items(contents, syntax, order) -> bytes:
    written_items = [written(each, syntax) for each in contents]
    return b"".join(
        struct.pack(order + "HHL", 0xFFFE, 0xE000, len(item)) + item for item in written_items
    )


@pytest.fixture
def ct(part10):
    """Make a CT image that is clean but for what is changed: a tag without a value is left out."""

    def make(changes=None, syntax=EXPLICIT) -> bytes:
        elements = CLEAN | (changes or {})
        present = {tag: elements[tag] for tag in sorted(elements) if elements[tag] is not None}
        dataset = written(present, syntax)
        if syntax == DEFLATED:
            packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            dataset = packer.compress(dataset) + packer.flush()
        return part10(dataset, syntax)

    return make


def rules(findings) -> list[tuple[str, str]]:
    return [(each.path, each.rule) for each in findings]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_a_clean_object_has_no_findings(ct, syntax):
    """An object that follows the standard is reported as such in every way of encoding."""
    assert validate(ct(syntax=syntax)) == ()


CODE = {0x00080100: ("SH", b"T1"), 0x00080102: ("SH", b"99"), 0x00080104: ("LO", b"word")}
BROKEN = {
    "UID with a letter": (0x00080018, ("UI", b"1.2.x"), "uid-invalid"),
    "UID with a leading zero": (0x0020000D, ("UI", b"1.02.3"), "uid-invalid"),
    "UID too long": (0x0020000D, ("UI", b"1." + b"2" * 63 + b"\0"), "uid-invalid"),
    "no day of the calendar": (0x00080020, ("DA", b"20230229"), "date-invalid"),
    "date with words": (0x00080020, ("DA", b"Feb 2024"), "date-invalid"),
    "hour 25": (0x00080030, ("TM", b"2500"), "time-invalid"),
    "month 13": (0x0008002A, ("DT", b"20241301"), "datetime-invalid"),
    "age in words": (0x00101010, ("AS", b"old"), "age-invalid"),
    "code in lower case": (0x00080060, ("CS", b"ct"), "code-invalid"),
    "number with a comma": (0x00180050, ("DS", b"1,25"), "number-invalid"),
    "whole number with a point": (0x00200013, ("IS", b"1.0"), "number-invalid"),
    "whole number too large": (0x00200013, ("IS", b"2147483648"), "number-invalid"),
    "endless whole number": (0x00200013, ("IS", b"9" * 9000), "value-too-long"),
    "unknown character set": (0x00080005, ("CS", b"ISO_IR 999"), "charset-unknown"),
    "text beyond ASCII": (0x00081030, ("LO", "Schädel ".encode("latin-1")), "text-undecodable"),
    "text too long": (0x00081030, ("LO", b"x" * 66), "value-too-long"),
    "name group too long": (0x00100010, ("PN", b"x" * 66 + b"=y"), "value-too-long"),
    "long value too long": (0x00081030, ("LO", b"ok\\" + b"x" * 65), "value-too-long"),
    "wrong VR": (0x00080020, ("LO", b"20240229"), "vr-wrong"),
    "unheard-of VR": (0x00181000, ("ZZ", b"1"), "vr-wrong"),
    "half a number": (0x00280010, ("US", b"\2\0\0"), "length-wrong"),
    "no private class known": (0x00080016, ("UI", b"1.2.3.99"), "unknown-sop-class"),
    "missing type 1": (0x00280010, None, "missing-type-1"),
    "empty type 1": (0x00080060, ("CS", b""), "empty-type-1"),
    "blank type 1": (0x00080060, ("CS", b"  "), "empty-type-1"),
    "empty binary type 1": (0x00280010, ("US", b""), "empty-type-1"),
    "missing type 2": (0x00100010, None, "missing-type-2"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_breach_is_found(ct, name):
    """What breaks a rule is reported where it stands, by that rule, and without the value."""
    tag, element, rule = BROKEN[name]
    findings = validate(ct({tag: element}))
    place = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    assert (place, rule) in rules(findings)
    value = element[1].strip(b"\0").decode("latin-1") if element else ""
    for finding in findings:
        assert finding.path == place
        assert len(value) < 3 or value not in finding.words


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG])
@pytest.mark.parametrize("name", ["UID with a letter", "missing type 1", "number with a comma"])
def test_breaches_are_found_in_every_encoding(ct, syntax, name):
    """The way of encoding does not hide a breach."""
    tag, element, rule = BROKEN[name]
    assert [each.rule for each in validate(ct({tag: element}, syntax))] == [rule]


def test_every_rule_is_provoked_somewhere():
    """No rule of the table is without an object that breaks it."""
    provoked = {rule for _, _, rule in BROKEN.values()} | {"order-wrong"}
    assert provoked == set(Finding.__annotations__["rule"].__args__)


@pytest.mark.parametrize(
    "value",
    [
        ("PN", "Müller^Jörg".encode()),
        ("PN", "Yamada^Tarou=山田^太郎=やまだ^たろう".encode()),
        ("PN", ("x" * 64 + "=" + "ü" * 64).encode()),
    ],
)
def test_text_in_its_declared_character_set_is_right(ct, value):
    """Characters are counted, not bytes, and each component group by itself."""
    changes = {0x00080005: ("CS", b"ISO_IR 192"), 0x00100010: value}
    assert validate(ct(changes)) == ()


def test_escapes_of_the_standard_are_right_and_others_are_not(ct):
    """Text that switches its character set is read by the escapes that PS3.5 knows."""
    declared = {0x00080005: ("CS", b"\\ISO 2022 IR 87")}
    name = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B "
    assert validate(ct(declared | {0x00100010: ("PN", name)})) == ()
    odd = validate(ct(declared | {0x00100010: ("PN", b"Doe\x1b$9\xff")}))
    assert rules(odd) == [("(0010,0010)", "text-undecodable")]


def test_items_are_checked_like_the_object(ct):
    """A breach inside items is reported once, with the tags of the sequences around it."""
    nameless = {tag: value for tag, value in CODE.items() if tag != 0x00080104}
    wrong = CODE | {0x00080102: ("SH", b"x" * 18)}
    findings = validate(ct({0x00081032: ("SQ", [nameless, nameless, wrong, CODE])}))
    assert sorted(rules(findings)) == [
        ("(0008,1032)/(0008,0102)", "value-too-long"),
        ("(0008,1032)/(0008,0104)", "missing-type-1"),
    ]


def test_order_and_repetition_are_found(part10):
    """An element that stands twice, or behind a higher tag, is reported."""
    pairs = [*list(CLEAN.items())[:-1], (0x00100020, ("LO", b"12"))]
    findings = validate(part10(written(pairs)))
    assert rules(findings) == [("(0010,0020)", "order-wrong")]


def test_private_elements_are_nobodys_business(ct):
    """Private attributes are stepped over, whatever they hold."""
    private = {0x00090010: ("LO", b"x" * 80), 0x00091001: ("DA", b"never")}
    assert validate(ct(private)) == ()


def test_icons_and_converted_sequences_are_stepped_through(ct):
    """Encapsulated icons, and sequences that became UN, are no obstacle behind other elements."""
    delimiter = b"\xfe\xff\xdd\xe0\0\0\0\0"
    icon = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\4\0\0\0ab\0\0"
    item = b"\xfe\xff\0\xe0" + struct.pack("<L", len(icon + delimiter)) + icon + delimiter
    nested = {0x00880200: ("SQ", item), 0x00281054: ("LO", b"x" * 70)}
    assert ("(0028,1054)", "value-too-long") in rules(validate(ct(nested)))
    implicit = written(CODE | {0x00080104: ("LO", b"x" * 70)}, IMPLICIT)
    converted = b"\xfe\xff\0\xe0" + struct.pack("<L", len(implicit)) + implicit + delimiter
    head = b"\x08\0\x32\x10UN\0\0\xff\xff\xff\xff"
    file = ct({0x00080090: None})
    at = file.index(b"\x10\0\x10\0PN")
    findings = validate(file[:at] + head + converted + file[at:])
    assert ("(0008,1032)/(0008,0104)", "value-too-long") in rules(findings)


def test_an_unknown_class_is_still_asked_who_it_is(ct):
    """Where the IOD is unknown the UIDs that every object has are asked for."""
    findings = validate(ct({0x00080016: ("UI", b"1.2.3.99"), 0x0020000E: None}))
    assert ("(0020,000E)", "missing-type-1") in rules(findings)


def test_severity_follows_the_rule():
    """A rule is an error unless it is one of those that readers live with."""
    findings = (Finding("(0008,0018)", "uid-invalid", ""), Finding("", "value-too-long", ""))
    assert [each.severity for each in findings] == ["error", "warning"]
    assert "missing-type-1" not in WARNINGS


def test_summary_counts_by_rule():
    """A summary has each rule that was broken, with how often, and nothing else."""
    findings = tuple(Finding("", rule, "") for rule in ("vr-wrong", "date-invalid", "vr-wrong"))
    assert summary(findings) == {"date-invalid": 1, "vr-wrong": 2}
    assert summary(()) == {}


BROKEN_OFF = {
    "no Part 10 file": lambda file: b"nothing of the kind",
    "cut in a value": lambda file: file[:-3],
    "cut in a header": lambda file: file[: file.index(b"MONOCHROME2") - 2],
}


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_what_cannot_be_walked_is_a_fault(ct, name):
    """An object whose lengths promise more than there is cannot be judged, and is not."""
    with pytest.raises(CannotUnderstand):
        validate(BROKEN_OFF[name](ct()))


@pytest.mark.parametrize(
    ("dataset", "syntax"),
    [
        (b"\x08\0\x16\0" + b"\0\1" + b"\2\0ab", EXPLICIT),
        (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff", EXPLICIT),
        (b"\x08\0\x40\x11SQ\0\0\x08\0\0\0\x08\0\x18\0\0\0\0\0", EXPLICIT),
        (b"\xfe\xff\x00\xe0\0\0\0\0", EXPLICIT),
        (b"no deflated stream", DEFLATED),
        (b"\x08\0\x40\x11\xff\xff\xff\xff" * 200, IMPLICIT),
        (b"\x08\0\x40\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 200, IMPLICIT),
    ],
)
def test_odd_structures_are_faults(part10, dataset, syntax):
    """No VR, unclosed sequences, stray items, endless nesting: each ends in the fault."""
    with pytest.raises(CannotUnderstand):
        validate(part10(dataset, syntax))


@given(data=st.data())
def test_garbage_is_judged_or_refused(data):
    """Whatever the bytes, the outcome is findings or a fault."""
    file = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(300, len(file) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(file)))
    try:
        findings = validate(bytes(file[:end]))
    except Fault:
        return
    assert all(each.path and each.words for each in findings)


@given(st.binary(max_size=400), st.sampled_from([EXPLICIT, IMPLICIT, BIG, DEFLATED]))
def test_random_bytes_are_judged_or_refused(dataset, syntax):
    """Bytes that are no dataset at all do no harm either."""
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = b"\2\0\x10\0UI" + struct.pack("<H", len(value)) + value
    try:
        validate(bytes(128) + b"DICM" + meta + dataset)
    except Fault:
        return


def _whole() -> bytes:
    """Write the clean CT with a nested sequence and a character set."""
    meta = b"\2\0\x10\0UI" + struct.pack("<H", 20) + EXPLICIT.encode() + b"\0"
    nested = {0x00081032: ("SQ", [CODE, CODE | {0x0040A043: ("SQ", [CODE])}])}
    elements = CLEAN | nested | {0x00080005: ("CS", b"\\ISO 2022 IR 87")}
    return bytes(128) + b"DICM" + meta + written({tag: elements[tag] for tag in sorted(elements)})


WHOLE = _whole()
