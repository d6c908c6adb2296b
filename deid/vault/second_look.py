"""Look at a re-identified object with another reader than the one that wrote it, as the last step.

Reads the encoded result with pydicom: it must carry the identity of the snapshot, as pydicom reads
that, and nothing of the pseudonymous one.
"""

import io
import warnings
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from deid import markers
from deid.identity import uid_values
from deid.parse import Encoding, name
from deid.table.dictionary import dictionary_vr
from deid.vault import modules
from deid.vault.snapshot import Snapshot
from dicom.errors import DeidFault

_COMPARED: Final = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "IssuerOfPatientID",
    "StudyInstanceUID",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
)
_OUR_ROOT: Final = "2.25."


def looks_ours(uid: str) -> bool:
    """Whether a UID is of the form that pseudonyms have: "2.25." and a version 8 UUID.

    Random UUIDs are of version 4, so that those of other software do not look like ours.
    """
    digits = uid.removeprefix(_OUR_ROOT)
    if digits == uid or not (digits.isascii() and digits.isdigit()) or len(digits) > 39:
        return False
    number = int(digits)
    return number < 1 << 128 and number >> 76 & 0xF == 8 and number >> 62 & 0x3 == 2


def check(
    head: bytes,
    encoding: Encoding,
    snapshot: Snapshot,
    known: frozenset[str],
    pseudonyms: frozenset[str],
) -> None:
    """Check an encoded dataset without its bulk values.

    `known` are the UIDs that the result brought for itself and the originals that were put in,
    `pseudonyms` those that must be gone.
    Raises DeidFault with the attribute, never a value.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom finds odd was odd in the input
        result = read_dataset(
            io.BytesIO(head), is_implicit_VR=encoding.implicit, is_little_endian=encoding.little
        )
        original = read_dataset(
            io.BytesIO(snapshot.encoded), is_implicit_VR=False, is_little_endian=True
        )
        for keyword in _COMPARED:
            if result.get(keyword) != original.get(keyword):
                raise DeidFault(f"second look: {keyword} is not that of the original")
        _check_modules(result, original)
        restored = {uid for _, uid in _uids(original, "")}
        for place, uid in _uids(result, ""):
            if uid in pseudonyms or (looks_ours(uid) and uid not in known | restored):
                raise DeidFault(f"second look: {place} still holds a pseudonym")


def _check_modules(result: Dataset, original: Dataset) -> None:
    """Nothing is left of the pseudonymous modules, and nothing is missing of the original ones."""
    there = {tag for tag in result.keys() if modules.belongs(tag)}  # noqa: SIM118  (see below)
    wanted = set(original.keys()) - {modules.CHARACTER_SET}
    for tag in there ^ wanted:
        raise DeidFault(f"second look: {name(tag)} is not as in the original")
    for marker in markers.TAGS & result.keys():
        raise DeidFault(f"second look: {name(marker)} still says that identity was removed")


def _uids(dataset: Dataset, path: str) -> Iterator[tuple[str, str]]:
    """Yield each UID with its place; other values are not decoded, they may be odd."""
    for tag in dataset.keys():  # noqa: SIM118  (iterating itself decodes each element)
        place = path + name(tag)
        raw = dataset.get_item(tag)
        vr = dictionary_vr(tag) or raw.VR
        if "SQ" in {raw.VR, vr}:
            for item in dataset[tag].value or ():
                yield from _uids(item, f"{place}/")
        elif "UI" in {raw.VR, vr}:
            value = raw.value or b""
            text = value if isinstance(value, bytes) else str(value).encode("ascii", "replace")
            yield from ((place, uid) for uid in uid_values(text) if uid)
