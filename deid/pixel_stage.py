"""Make pixel data ready to leave: burned-in text, segments beside the image, and unused bits go.

What none of it concerns is passed on as slices of the input, bit for bit. Video is not taken
apart: its readable text is searched, and burned-in text in it is not looked for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from deid import encode, options, overlays, segments
from deid.container import Chunk, Opened
from deid.identity import Identity
from deid.parse import PIXELS, UNDEFINED, Element, name
from deid.pixels.clean import PIXEL_DATA, check_unread, clean
from deid.pixels.spill import Spill
from deid.profile import Profile
from dicom.errors import NotClean

_OFFSETS: Final = 0x7FE0_0001
_LENGTHS: Final = 0x7FE0_0002


@dataclass(slots=True)
class PixelStage:
    """What pixel data becomes, and what the account says of it."""

    written: dict[int, list[Chunk]] = field(default_factory=dict)
    """Encoded elements by tag: pixel data, and the attributes that changed with it."""
    rows: list[tuple[str, str]] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    """Options that were applied to pixels."""


def treat(
    elements: tuple[Element, ...],
    opened: Opened,
    profile: Profile,
    who: Identity,
    *,
    must_clean: bool,
) -> PixelStage:
    """Treat an object's pixel data; `must_clean` asks for burned-in text to be removed.

    Raises NotClean for pixels that cannot be read, cleaned or followed, DeidFault for what is
    broken.
    """
    stage = PixelStage()
    for element in elements:
        if element.tag not in PIXELS:
            continue
        value = element.value
        if must_clean:
            value = _cleaned(element, elements, opened, profile, stage)
        place = name(element.tag)
        if element.undefined:
            chunks = _stripped(value, elements, opened, who, stage)
        elif element.tag == PIXEL_DATA:
            chunks = _cleared(value, elements, opened, stage)
        else:
            chunks = (value,)
        length = UNDEFINED if element.undefined else sum(len(chunk) for chunk in chunks)
        header = encode.header(element.tag, element.vr, length, opened.encoding)
        stage.written[element.tag] = [header, *chunks]
        if not any(path == place for path, _ in stage.rows):
            stage.rows.append((place, "K"))
    return stage


def _cleaned(
    element: Element,
    elements: tuple[Element, ...],
    opened: Opened,
    profile: Profile,
    stage: PixelStage,
) -> memoryview:
    """Have burned-in text removed."""
    if profile.pixels is None:
        raise NotClean("burned-in text must be removed, and the profile has no rules for that")
    stage.applied.append(options.PIXEL_DATA)
    if element.tag != PIXEL_DATA:
        words = check_unread(elements, opened, profile.pixels)
        stage.rows.append((name(element.tag), f"remark: {words}"))
        return element.value
    cleaned = clean(elements, opened, profile.pixels)
    for tag, (vr, value) in cleaned.attributes.items():
        stage.written[tag] = [encode.element(tag, vr, value, opened.encoding)]
    stage.rows += [(name(PIXEL_DATA), f"remark: {words}") for words in cleaned.remarks]
    return cleaned.value()


def _stripped(
    value: memoryview,
    elements: tuple[Element, ...],
    opened: Opened,
    who: Identity,
    stage: PixelStage,
) -> tuple[Chunk, ...]:
    """Take segments out of compressed pixel data; offset tables follow."""
    overlays.refuse_embedded(elements, little=opened.encoding.little)
    done = segments.strip(
        value,
        opened.encoding,
        transfer_syntax_uid=opened.transfer_syntax_uid,
        frames=overlays.number_of_frames(elements),
        video="pass",
    )
    place = name(PIXEL_DATA)
    if done.remark:
        kind = who.in_bytes(b"\n".join(segments.words(value)))
        if kind:
            raise NotClean(f"{place}: text in the video holds a {kind}")
        stage.rows.append((place, f"remark: {done.remark}"))
    if not done.removed:
        return done.chunks
    stage.rows.append((place, f"remark: {done.removed} segments beside the image removed"))
    there = {element.tag for element in elements}
    for tag, table in (
        (_OFFSETS, done.extended_offset_table),
        (_LENGTHS, done.extended_offset_table_lengths),
    ):
        if tag in there:
            stage.written[tag] = [encode.element(tag, "OV", table(), opened.encoding)]
    return done.chunks


def _cleared(
    value: memoryview, elements: tuple[Element, ...], opened: Opened, stage: PixelStage
) -> tuple[Chunk, ...]:
    """Clear bits that belong to no sample, where something stands in them."""
    layout = overlays.layout_of(elements, opened.encoding)
    if overlays.is_clean(value, layout):
        return (value,)
    stage.rows.append((name(PIXEL_DATA), "remark: bits that belong to no sample were cleared"))
    return tuple(_on_disk(overlays.clear(value, layout)))


def _on_disk(chunks: Iterator[Chunk]) -> tuple[Chunk, ...]:
    """Collect chunks without holding many new bytes in memory."""
    spill = Spill()
    for chunk in chunks:
        if isinstance(chunk, memoryview):
            spill.keep(chunk)
        else:
            spill.add(chunk)
    return spill.chunks()
