"""Every row of Table E.1-1, under every shipped profile and every option, at two depths.

What must come out is worked out here from the data file and PS3.15 E.1 to E.3 alone, not by the
engine: one object holds every attribute of the table, and a copy of them in a sequence.
"""

import json
from datetime import date, timedelta
from importlib.resources import files

import pytest

from deid import encode, parse
from deid.apply import deidentify
from deid.options import OPTIONS
from deid.table.dictionary import VRS

pytestmark = pytest.mark.p4

ROWS = json.loads((files("deid.table") / "ps315_e1_1.json").read_text())["rows"]
LITTLE = parse.EXPLICIT_LITTLE
CT = "1.2.840.10008.5.1.4.1.1.2"
NEST = 0x0008_9215  # DerivationCodeSequence, which no row names
DECIDED_ELSEWHERE = {
    0x0008_0018, 0x0020_000D, 0x0020_000E,  # given by the object itself
    0x0010_0010, 0x0010_0020,  # the pseudonym
    0x0040_A730, 0x0042_0011,  # refused without their options: tests of their own
    0x0012_0063, 0x0012_0064, 0x0012_0062, 0x0028_0303,  # markers
    0x0400_0500, 0xFFFC_FFFC,
}  # fmt: skip
BASES = {
    "basic": set(),
    "research": {"modified-dates", "retain-patient-characteristics", "retain-device",
                 "retain-safe-private", "clean-descriptors", "clean-structured-content",
                 "clean-graphics"},
    "trial": {"modified-dates", "retain-patient-characteristics", "retain-device",
              "retain-institution", "retain-safe-private", "clean-descriptors",
              "clean-structured-content"},
    "teaching": {"clean-descriptors"},
}  # fmt: skip
"""Without the options that look at pixels, of which this object has none."""
PROFILES = [(base, ()) for base in BASES] + [("basic", (option,)) for option in OPTIONS]
COLUMNS = {option.name: option.column for option in OPTIONS.values() if option.column}
DAY = date(2019, 3, 4)
TEXT = {"LO", "SH", "ST", "LT", "UT", "UC"}


def vr_of(row) -> str:
    return (VRS.get(int(row["tag"], 16)) or row["vr"] or "LO")[:2]


def sample(row, vr: str) -> bytes:
    """A valid value of a VR that is like no other row's."""
    own = row["tag"]
    fixed = {
        "DA": b"20190304", "DT": b"20190304101500", "TM": b"101500", "AS": b"045Y", "DS": b"7.5",
        "IS": b"75", "US": b"\7\0", "UL": b"\7\0\0\0", "FD": b"\7\0\0\0\0\0\0\0", "FL": b"\7\0\0\0",
        "OB": b"\7\7", "OW": b"\7\7", "UN": b"\7\7", "UR": b"http://x", "SS": b"\7\0",
        "UI": f"1.2.276.0.99.{int(own, 16)}".encode(), "CS": b"LIVER", "AE": b"QZ" + own.encode(),
        "AT": b"\x10\0\x10\0",
    }  # fmt: skip
    return fixed.get(vr, f"liver qzx{own}".encode())


def exact_rows():
    for row in ROWS:
        if "x" in row["tag"] or row["tag"] == "private":
            continue
        tag = int(row["tag"], 16)
        if tag not in DECIDED_ELSEWHERE and tag >> 16 > 4:
            yield tag, row


def written() -> dict[int, bytes]:
    out = {}
    for tag, row in exact_rows():
        vr = vr_of(row)
        if vr == "SQ":
            meaning = encode.element(0x00080104, "LO", f"liver qzx{tag:08x}".encode(), LITTLE)
            out[tag] = encode.sequence(tag, "SQ", [meaning], LITTLE, LITTLE)
        else:
            out[tag] = encode.element(tag, vr, sample(row, vr), LITTLE)
    return out


def the_object() -> bytes:
    inside = written()
    item = b"".join(inside[tag] for tag in sorted(inside))
    out = written()
    out[NEST] = encode.sequence(NEST, "SQ", [item], LITTLE, LITTLE)
    for tag, uid in ((0x00080016, CT), (0x00080018, "1.2.276.99.1"), (0x0020000D, "1.2.276.99.2"),
                     (0x0020000E, "1.2.276.99.3")):  # fmt: skip
        out[tag] = encode.element(tag, "UI", uid.encode(), LITTLE)
    out[0x00100020] = encode.element(0x00100020, "LO", b"PAT-4711-X", LITTLE)
    syntax = encode.element(0x00020010, "UI", b"1.2.840.10008.1.2.1", LITTLE)
    body = b"".join(out[tag] for tag in sorted(out))
    return b"\0" * 128 + b"DICM" + syntax + body


def read(part10: bytes):
    _, start = parse.read_group(memoryview(part10), part10.index(b"DICM") + 4, 2, LITTLE)
    top = parse.read(memoryview(part10)[start:], LITTLE)
    nested = next(each for each in top if each.tag == NEST).items[0]
    return [{each.tag: each for each in level} for level in (top, nested)]


def shifted(value: bytes, days: int) -> bytes:
    new = (DAY - timedelta(days)).strftime("%Y%m%d")
    return new.encode() + value[8:]


def is_by_code(code: str, vr: str, before: bytes, found) -> bool:
    """Whether an outcome is one that the Basic Profile's code allows (Table E.1-1a).

    Which of several is right depends on the IOD, which the object's validator judges elsewhere.
    """
    allowed = set(code.replace("*", "").split("/"))
    if found is None:
        return "X" in allowed
    value = bytes(found.value).strip(b"\0 ")
    if vr == "SQ":
        redacted = b"qzx" not in value
        return (redacted and bool({"Z", "D"} & allowed)) or "U" in allowed
    if not value:
        return "Z" in allowed or vr in {"OB", "US", "UN", "UL", "FD", "FL"}
    if "U" in allowed:
        return value != before and value.startswith(b"2.25.")
    return value != before and bool({"D", "Z"} & allowed)


def of_letters(row, vr: str, letters: dict[str, str], days: int, found) -> str | None:
    """Say what is wrong where an option speaks, "" for nothing, None where none speaks."""
    before = sample(row, vr).rstrip(b"\0 ")
    value = b"" if found is None else bytes(found.value).rstrip(b"\0 ")
    if "modified-dates" in letters and vr in {"DA", "DT", "TM"}:
        wanted = before if vr == "TM" else shifted(before, days)
        return "" if value == wanted else "not shifted"
    if "modified-dates" in letters:
        return None
    if "K" in letters.values():
        good = (found is not None and b"qzx" in value) if vr == "SQ" else value == before
        return "" if good else f"not kept: {value!r}"
    if "C" not in letters.values():
        return None
    if vr == "SQ" and row["tag"] != "00700001":
        good = found is not None and b"qzx" not in value and b"liver" in value
    elif vr in TEXT:
        good = value == b"liver"
    else:
        good = value == before if vr == "CS" else before not in value
    return "" if good else f"not cleaned: {value!r}"


def fault(row, options: set[str], days: int, found, *, departs: bool) -> str:
    """Say what is wrong about one row's outcome; "" when it is right."""
    vr = vr_of(row)
    before = sample(row, vr).rstrip(b"\0 ")
    letters = {name: row[column] for name, column in COLUMNS.items()
               if name in options and column in row}  # fmt: skip
    said = of_letters(row, vr, letters, days, found)
    if said is not None:
        return said
    value = b"" if found is None else bytes(found.value)
    if departs:
        return "" if before not in value else "departs and keeps"
    return "" if is_by_code(row["basic"], vr, before, found) else f"{row['basic']} gave {value!r}"


@pytest.mark.parametrize(("base", "more"), PROFILES, ids=lambda v: v if isinstance(v, str) else "")
def test_every_row_is_carried_out_at_every_depth(compiled, base, more):
    """Each listed attribute is treated as its row says, at the top and in an item."""
    without = ("clean-pixel-data", "clean-visual-features") if base == "teaching" else ()
    profile = compiled(base, *more, without=without)
    options = BASES[base] | set(more)
    days = profile.pseudonyms.days("PAT-4711-X", "liver qzx00100021")
    levels = read(b"".join(deidentify(the_object(), profile).chunks))
    departing = profile.base.reasons
    wrong = {
        f"{row['tag']} {row['keyword']} at depth {depth}": said
        for depth, level in enumerate(levels)
        for tag, row in exact_rows()
        if (said := fault(row, options, days, level.get(tag), departs=tag in departing))
    }
    assert wrong == {}


def test_the_object_holds_every_row():
    """The contract's object is not empty by accident."""
    top, nested = read(the_object())
    assert len(nested) == len(list(exact_rows())) > 600
    assert set(nested) <= set(top)
