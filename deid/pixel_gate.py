"""Decide whether an object's pixels may pass, must be cleaned first, or may not pass at all.

Only attributes are read here: SOP class, BurnedInAnnotation, body part, descriptions. What a
cleaner of burned-in text does with pixels is its own affair; this gate says when it is needed.

Clean Recognizable Visual Features is honest and blunt: no face is taken out of a volume, such an
object is refused. It concerns CT, MR and PET volumes (a face can be rendered from a head scan),
photographs, videos and surface scans of persons. An object of these classes passes only if its
BodyPartExamined, AnatomicRegionSequence or descriptions name a part of the body without a face
and nothing in them names the head or the whole body; one that says nothing is refused.
"""

from dataclasses import dataclass
from typing import Final

from deid import documents, options, text
from deid.parse import Element, every, name
from deid.profile import Profile
from dicom.errors import NotClean

REMARK: Final = "remark: burned-in text was not looked for"
BURNED_IN: Final = 0x0028_0301

_VOLUMES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
        "1.2.840.10008.5.1.4.1.1.2.2",  # Legacy Converted Enhanced CT
        "1.2.840.10008.5.1.4.1.1.4",  # MR
        "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
        "1.2.840.10008.5.1.4.1.1.4.3",  # Enhanced MR Color
        "1.2.840.10008.5.1.4.1.1.4.4",  # Legacy Converted Enhanced MR
        "1.2.840.10008.5.1.4.1.1.128",  # PET
        "1.2.840.10008.5.1.4.1.1.128.1",  # Legacy Converted Enhanced PET
        "1.2.840.10008.5.1.4.1.1.130",  # Enhanced PET
        "1.2.840.10008.5.1.4.1.1.13.1.1",  # X-Ray 3D Angiographic
        "1.2.840.10008.5.1.4.1.1.13.1.2",  # X-Ray 3D Craniofacial
    }
)
_LIKENESSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.77.1.4",  # VL Photographic
        "1.2.840.10008.5.1.4.1.1.77.1.4.1",  # Video Photographic
        "1.2.840.10008.5.1.4.1.1.68.1",  # Surface Scan Mesh
        "1.2.840.10008.5.1.4.1.1.68.2",  # Surface Scan Point Cloud
    }
)
_REGION_TAGS: Final = frozenset(
    {
        0x0008_1030,  # StudyDescription
        0x0008_103E,  # SeriesDescription
        0x0018_0015,  # BodyPartExamined
        0x0018_1030,  # ProtocolName
        0x0040_0254,  # PerformedProcedureStepDescription
    }
)
_REGION_SEQUENCES: Final = frozenset({0x0008_2218, 0x0008_2228})
"""AnatomicRegionSequence, PrimaryAnatomicStructureSequence."""
_CODE_MEANING: Final = 0x0008_0104
_WITH_FACE: Final = frozenset(
    {
        "body", "brain", "cabeca", "cabeza", "carotid", "carotids", "cerebral", "cerebro",
        "cerveau", "cervical", "collo", "cou", "crane", "cranial", "cranio", "cranium",
        "cspine", "cuello", "dental", "ear", "eye", "eyes", "face", "facial", "ganzkorper",
        "gehirn", "gesicht", "hals", "head", "headneck", "hersenen", "hirn", "hno", "hoofd",
        "hws", "iac", "jaw", "kopf", "mandible", "maxilla", "maxillofacial", "neck", "neuro",
        "nnh", "nose", "orbit", "orbits", "pan", "pituitary", "polytrauma", "schadel", "sinus",
        "sinuses", "skull", "testa", "tete", "tmj", "trauma", "whole", "wholebody",
    }
)  # fmt: skip
_WITHOUT_FACE: Final = frozenset(
    {
        "abdomen", "abdominal", "addome", "ankle", "aorta", "arm", "arms", "bassin", "bauch",
        "becken", "bladder", "borst", "bowel", "breast", "brust", "buik", "bws", "calf",
        "cardiac", "chest", "coccyx", "colon", "columna", "coronary", "elbow", "extremity",
        "feet", "femur", "finger", "foot", "forearm", "fuss", "genou", "ginocchio", "hand",
        "hands", "heart", "herz", "heup", "hip", "hips", "joelho", "kidney", "kidneys", "knee",
        "knees", "knie", "leber", "leg", "legs", "liver", "lspine", "lumbar", "lung", "lunge",
        "lungs", "lws", "niere", "pancreas", "pelvis", "poitrine", "prostate", "rectum",
        "rodilla", "sacrum", "shoulder", "spleen", "thigh", "thorax", "tibia", "toe", "torax",
        "tspine", "uterus", "wrist",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """What the gate decided about an object that may go on."""

    must_clean: bool = False
    """Burned-in text is to be looked for and removed before the pixels may leave."""
    remarks: tuple[tuple[str, str], ...] = ()
    """Rows of the account."""
    applied: tuple[str, ...] = ()
    """Options that were applied by looking."""


def look(
    elements: tuple[Element, ...], sop_class_uid: str, profile: Profile, *, has_pixels: bool
) -> Look:
    """Decide by attributes whether the pixels of an object may pass.

    Raises NotClean for what may not pass: burned-in text that nobody is asked to clean, and
    recognizable features where they are to be cleaned.
    """
    applied = _features(elements, sop_class_uid, profile)
    if sop_class_uid.startswith(documents.CLASSES):
        return Look(applied=applied)
    burned_in = _ascii(elements, BURNED_IN).upper()
    is_suspect = has_pixels and (
        burned_in == "YES" or (burned_in != "NO" and sop_class_uid in profile.base.suspect)
    )
    if profile.has(options.PIXEL_DATA):
        return Look(must_clean=has_pixels, applied=applied)
    if burned_in == "YES":
        raise NotClean(
            f"{name(BURNED_IN)} is YES: burned-in text stays without {options.PIXEL_DATA}"
        )
    remarks = ((name(BURNED_IN), REMARK),) if is_suspect else ()
    return Look(remarks=remarks, applied=applied)


def _features(
    elements: tuple[Element, ...], sop_class_uid: str, profile: Profile
) -> tuple[str, ...]:
    """Refuse an object that can show a face, where faces are to be cleaned; see the module."""
    if not profile.has(options.VISUAL_FEATURES):
        return ()
    if sop_class_uid in _LIKENESSES:
        raise NotClean("a photograph or surface scan can show a person's face")
    if sop_class_uid not in _VOLUMES:
        return ()
    words = _region_words(elements)
    if words & _WITH_FACE:
        raise NotClean("a volume of the head or the whole body can show a face")
    if not words & _WITHOUT_FACE:
        raise NotClean("nothing says which part of the body the volume shows: it can be the head")
    return (options.VISUAL_FEATURES,)


def _region_words(elements: tuple[Element, ...]) -> set[str]:
    """Collect the words that say which part of the body is shown, without diacritics."""
    found: set[str] = set()
    coded = (
        each
        for element in elements
        if element.tag in _REGION_SEQUENCES
        for item in element.items or ()
        for each in every(item)
        if each.tag == _CODE_MEANING
    )
    for element in (*(each for each in elements if each.tag in _REGION_TAGS), *coded):
        for codec in ("utf-8", "latin-1"):
            for word in text.words(bytes(element.value).decode(codec, "replace")):
                found |= {word} | text.plain(word)
    return found


def _ascii(elements: tuple[Element, ...], tag: int) -> str:
    value = next((bytes(each.value) for each in elements if each.tag == tag), b"")
    return value.decode("ascii", "replace").strip("\0 ")
