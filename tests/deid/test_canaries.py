"""Canaries sown at random places of random datasets; none may come out.

They stand in attributes of every VR, as the wrong VR and as UN, in private blocks and unknown
tags, in whatever character set an item declares for itself, at every depth.
"""

import struct
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from deid.apply import deidentify
from deid.parse import PIXELS
from deid.profile import Action, read_base
from deid.table.dictionary import VRS
from dicom.errors import DeidFault, NotClean

pytestmark = [pytest.mark.p4, pytest.mark.filterwarnings("ignore")]

FAMILY, GIVEN, NUMBER = "Zyxcanary", "Quillobert", "CNRY-48213"
SPELLINGS = (
    FAMILY,
    FAMILY.upper(),
    f"{GIVEN}_{FAMILY}",
    f"seen {FAMILY}, ok",
    NUMBER,
    "cnry 48213",
    f"CT{FAMILY}Head",
    f"{FAMILY}2019",
    f"PAT{NUMBER.replace('-', '')}X",
)
NEEDLES = (b"zyxcanary", b"quillobert", b"cnry")
CHARSETS = {
    "ISO_IR 100": ("latin-1", "Zyxcanáry"),
    "ISO_IR 144": ("iso8859-5", "Зыксканарка"),
    "ISO_IR 192": ("utf-8", "金糸雀鳴子"),
    "GB18030": ("gb18030", "金糸雀鳴子"),
    "\\ISO 2022 IR 87": ("iso2022_jp", "金糸雀鳴子"),
    "ISO_IR 13": ("shift_jis", "ｶﾅﾘﾔﾒｲ"),
}
"""Character set to its codec and the same patient's name in its script."""
LOCAL_NEEDLES = {
    # Without the escapes that ISO 2022 puts around.
    name.encode(codec).removeprefix(b"\x1b$B").removesuffix(b"\x1b(B").lower()
    for codec, name in CHARSETS.values()
}
NEST = 0x0008_9215
"""DerivationCodeSequence, which no row of the table names."""
REFUSING = {t for t, action in read_base("basic").actions.items() if action is Action.REFUSE}
HEAD = {0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00280301}
PLACES = [tag for tag in VRS if tag >> 16 > 4 and tag & 0xFFFF and tag not in REFUSING | HEAD]
TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "AS", "DA", "DT", "TM"}
KEPT_KINDS = read_base("basic").kinds
TEXT_TAGS = [tag for tag in PLACES if VRS[tag] in TEXT or VRS[tag] in {"DS", "IS"}]
BINARY_TAGS = [
    tag for tag in PLACES if VRS[tag][:2] in {"OB", "OW", "OF", "OD", "OL", "OV"}
    and tag not in PIXELS
]  # fmt: skip
LOCAL_TAGS = [tag for tag in PLACES if VRS[tag] in {"LO", "SH", "ST", "LT", "UT", "UC", "PN"}]
UID_TAGS = [tag for tag in PLACES if VRS[tag] == "UI" and tag not in KEPT_KINDS]
SEQUENCE_TAGS = [tag for tag in PLACES if VRS[tag] == "SQ"]
CLEANED_TAGS = [0x0040A730, 0x00700001, 0x0040B020, 0x00400555]
"""Content, graphic and waveform annotations, acquisition context: refused or removed by basic."""
SAFE_BLOCKS = [(0x0019, "GEMS_ACQU_01", 0x9E), (0x2001, "Philips Imaging DD 001", 0x6E)]
DEEPEST = 3
"""Levels of branching; `sunk` puts everything further down."""
BASES = {
    "basic": (),
    "research": (),
    "trial": (),
    "teaching": ("clean-pixel-data", "clean-visual-features"),  # these refuse, they clear nothing
}
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def put(dataset: Dataset, tag: int, text: str, *, vr: str, codec: str = "utf-8") -> None:
    """Set an element's bytes as they are, past pydicom's own checks."""
    value = text.encode(codec)
    value += b" " * (len(value) % 2)
    dataset[tag] = RawDataElement(BaseTag(tag), vr, len(value), value, 0, False, True)


def sow_local(draw, dataset: Dataset) -> None:
    """Give an item a character set of its own, and the name in its script."""
    charset = draw(st.sampled_from(sorted(CHARSETS)))
    codec, name = CHARSETS[charset]
    put(dataset, 0x0008_0005, charset, vr="CS")
    for tag in draw(st.lists(st.sampled_from(LOCAL_TAGS), max_size=3, unique=True)):
        said = draw(st.sampled_from((name, f"x {name}.", f"{name} 1")))
        put(dataset, tag, said, vr=VRS[tag], codec=codec)


@st.composite
def datasets(draw, depth: int = DEEPEST, sequences: tuple[int, ...] = ()) -> Dataset:
    """Draw a dataset with canaries in text, private, UN and unknown elements, nested."""
    dataset = Dataset()
    for tag in draw(st.lists(st.sampled_from(TEXT_TAGS), max_size=6, unique=True)):
        vr = draw(st.sampled_from((VRS[tag], "UN", "LO", "UT")))
        put(dataset, tag, draw(st.sampled_from(SPELLINGS)), vr=vr)
    for tag in draw(st.lists(st.sampled_from(UID_TAGS), max_size=2, unique=True)):
        put(dataset, tag, FAMILY, vr="UI")
    if draw(st.booleans()):
        block = dataset.private_block(0x0029, draw(st.sampled_from(SPELLINGS)), create=True)
        block.add_new(0x10, "UN", FAMILY.encode())
        block.add_new(0x11, "SQ", Sequence([_named()]))
    if draw(st.booleans()):
        group, creator, element = draw(st.sampled_from(SAFE_BLOCKS))
        block = dataset.private_block(group, creator, create=True)
        block.add_new(element, draw(st.sampled_from(("LO", "SH", "UN"))), FAMILY.encode())
    if draw(st.booleans()):
        put(dataset, 0x0012_FFFE, FAMILY, vr="LO")
    if depth < DEEPEST and draw(st.booleans()):
        sow_local(draw, dataset)
    if depth:
        tags = st.sampled_from(SEQUENCE_TAGS)
        if sequences:
            tags |= st.sampled_from(sequences)
        for tag in draw(st.lists(tags, max_size=2, unique=True)):
            items = draw(st.lists(datasets(depth - 1, sequences), max_size=2))
            dataset[tag] = DataElement(tag, "SQ", Sequence(items))
            dataset[tag].is_undefined_length = draw(st.booleans())
    return dataset


def _named() -> Dataset:
    item = Dataset()
    item.PatientName = f"{FAMILY}^{GIVEN}"
    return item


def survivors(part10: bytes, syntax: str) -> list[bytes]:
    if syntax == DeflatedExplicitVRLittleEndian:
        start = 144 + struct.unpack_from("<L", part10, 140)[0]
        part10 = part10[:start] + zlib.decompress(part10[start:], -15)
    return [needle for needle in (*NEEDLES, *LOCAL_NEEDLES) if needle in part10.lower()]


def sunk(dataset: Dataset, levels: int) -> Dataset:
    """Put a dataset into an item of an item, and so on; private and unknown parts with it."""
    for _ in range(levels):
        outer = Dataset()
        outer[NEST] = DataElement(NEST, "SQ", Sequence([dataset]))
        dataset = outer
    return dataset


def named(dataset: Dataset) -> Dataset:
    put(dataset, 0x0008_0005, "ISO_IR 192", vr="CS")
    dataset.PatientName = f"{FAMILY}^{GIVEN}"
    put(dataset, 0x0010_1001, "\\".join(name for _, name in CHARSETS.values()), vr="PN")
    dataset.PatientID = NUMBER
    return dataset


@pytest.mark.parametrize("base", BASES)
def test_no_canary_survives_anywhere(build, compiled, anything_goes, base):
    """A patient's name and number survive in no element of any kind, at no depth."""
    profile = compiled(base, without=BASES[base])
    cleaned = tuple(CLEANED_TAGS) if "clean-structured-content" in profile.options else ()

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(datasets(sequences=cleaned), st.sampled_from((0, 1, 9, 20)), st.sampled_from(SYNTAXES))
    def survive(dataset, levels, syntax):
        part10 = build(named(sunk(dataset, levels)), syntax)
        assert survivors(part10, syntax)
        result = deidentify(part10, profile)
        assert survivors(b"".join(result.chunks), syntax) == []
        assert b"".join(deidentify(part10, profile).chunks) == b"".join(result.chunks)
        told = repr((result.account, result.options, result)).lower()
        assert not any(needle.decode() in told for needle in NEEDLES)

    survive()


@pytest.mark.parametrize("levels", [0, 10])
@pytest.mark.parametrize("base", BASES)
def test_no_canary_survives_among_bytes(build, compiled, anything_goes, base, levels):
    """Binary attributes but pixels with a name in them go, or stop the object, each tried alone."""
    profile = compiled(base, without=BASES[base])
    for tag in BINARY_TAGS:
        dataset = Dataset()
        dataset[tag] = DataElement(tag, VRS[tag][:2], FAMILY.encode().ljust(16, b"\0"))
        try:
            result = deidentify(build(named(sunk(dataset, levels))), profile)
        except NotClean:
            continue
        assert survivors(b"".join(result.chunks), ExplicitVRLittleEndian) == [], f"{tag:08x}"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(dataset=datasets(depth=1), damage=st.tuples(st.floats(0, 1), st.integers(0, 255)))
def test_a_damaged_object_ends_in_a_fault_without_values(
    build, profile, anything_goes, dataset, damage
):
    """Whatever a wrong byte breaks, nothing but a DeidFault comes up, and it quotes nothing."""
    part10 = bytearray(build(named(dataset)))
    part10[132 + int(damage[0] * (len(part10) - 133))] = damage[1]
    words = ""
    try:
        deidentify(bytes(part10), profile)
    except DeidFault as fault:
        words = str(fault).lower()
    assert not any(needle.decode() in words for needle in NEEDLES)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(dataset=datasets(depth=1), where=st.floats(0, 1, exclude_max=True))
def test_a_cut_object_never_raises_anything_but_a_fault(
    build, profile, anything_goes, dataset, where
):
    """An object that breaks off anywhere is refused, unless nothing of an element is missing."""
    part10 = build(named(dataset))
    cut = part10[: int(where * len(part10))]
    try:
        result = deidentify(cut, profile)
    except DeidFault:
        return
    assert survivors(b"".join(result.chunks), ExplicitVRLittleEndian) == []
