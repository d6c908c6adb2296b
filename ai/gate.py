"""The gate before anything is kept: a result is read again and held against the originals.

It sees what a receiver would see, the bytes alone, and what the node stored of the Study. A result
that does not fit goes nowhere: one bound to the wrong patient is worse than none.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom import config as pydicom_config
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from ai import gate_contents
from ai.contract import Quantity
from dicom.entity import SeriesKey
from dicom.errors import Misfit
from dicom.part10 import text
from dicom.references import Named, named
from dicom.uid import is_valid

_MOST_WORDS: Final = 3
"""So many faults of an object are told; the others are counted."""
_OF_THE_PATIENT: Final = (
    "PatientID", "PatientName", "IssuerOfPatientID", "PatientBirthDate", "PatientSex",
)  # fmt: skip
_OF_THE_STUDY: Final = ("StudyID", "StudyDate", "StudyTime", "AccessionNumber")
_UIDS: Final = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True, slots=True)
class Stored:
    """An Instance as the node has it."""

    sop_class_uid: str
    key: SeriesKey
    is_original: bool = True
    """Whether it came from outside; what models made here may be named too, and is none."""


@dataclass(frozen=True, slots=True)
class Originals:
    """What the node stored of the Study that results are about."""

    study_instance_uid: str
    stored: Mapping[str, Stored]
    """The Instances of the Study, whoever sent them, by SOP Instance UID."""
    heads: Sequence[Dataset]
    """One head of each Series that can be read: who the patient is."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What is known of results that were made here, and not of those of others."""

    quantities: Sequence[Quantity]
    """What the model's contract says of its numbers."""
    taken: Mapping[str, str]
    """Digest (SHA-256, hex) of whatever the node has under the UID of a result."""


def check(
    results: Sequence[tuple[bytes, str]], originals: Originals, promise: Promise | None = None
) -> None:
    """Raise Misfit, naming each fault, unless every result may go where its patient is known.

    `results` are whole Part 10 files with their SHA-256 (hex), those of one inference together:
    they may refer to each other. With a `promise` they were made here, of these originals; without
    one they came from elsewhere.
    """
    try:
        with pydicom_config.disable_value_validation():  # what was copied may be odd
            _check(results, originals, promise)
    except Misfit:
        raise
    except Exception as fault:  # what broke while it was read did not pass
        raise Misfit(f"a result cannot be read again ({type(fault).__name__})") from fault


def _check(
    results: Sequence[tuple[bytes, str]], originals: Originals, promise: Promise | None
) -> None:
    read = [(_read(part10), part10, digest) for part10, digest in results]
    fellows = {
        text(dataset, "SOPInstanceUID"): Stored(
            text(dataset, "SOPClassUID"),
            SeriesKey(text(dataset, "StudyInstanceUID"), text(dataset, "SeriesInstanceUID")),
            is_original=False,
        )
        for dataset, _, _ in read
    }
    if len(fellows) < len(read):
        raise Misfit("two results carry the same SOPInstanceUID")
    stored = {**fellows, **originals.stored}
    for dataset, part10, digest in read:
        names = tuple(named(dataset))
        one = _Result(dataset, part10, digest, names, stored, originals, promise)
        found = list(dict.fromkeys(words for look in _LOOKS for words in look(one)))
        if found:
            raise Misfit(_told(dataset, found))


def _read(part10: bytes) -> FileDataset:
    return dcmread(io.BytesIO(part10))


def _told(dataset: Dataset, found: Sequence[str]) -> str:
    more = len(found) - _MOST_WORDS
    words = "; ".join(found[:_MOST_WORDS]) + (f"; and {more} more" if more > 0 else "")
    name = text(dataset, "Modality")[:16] or "object"
    return f"result {name} {text(dataset, 'SOPInstanceUID')[:64]}: {words}"


@dataclass(frozen=True, slots=True)
class _Result:
    """One result at the gate."""

    dataset: FileDataset
    part10: bytes
    digest: str
    names: Sequence[Named]
    """What it refers to."""
    stored: Mapping[str, Stored]
    """The originals, and the results that were made together."""
    originals: Originals
    promise: Promise | None


def _names(one: _Result) -> Iterator[str]:
    """Look at what the object calls itself."""
    meta, dataset = one.dataset.file_meta, one.dataset
    for keyword in _UIDS:
        if not is_valid(text(dataset, keyword)):
            yield f"its {keyword} is no UID"
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if text(meta, f"MediaStorage{keyword}") != text(dataset, keyword):
            yield f"its file meta names another {keyword}"
    if one.promise is None:
        return
    uid = text(dataset, "SOPInstanceUID")
    if one.promise.taken.get(uid, one.digest) != one.digest:
        yield "its SOPInstanceUID is that of another object here"
    series = text(dataset, "SeriesInstanceUID")
    stored = one.originals.stored.values()
    if series in {each.key.series_instance_uid for each in stored if each.is_original}:
        yield "its SeriesInstanceUID is that of an original"


def _patient(one: _Result) -> Iterator[str]:
    """Compare the patient with every original that it is about, the visit with any."""
    if text(one.dataset, "StudyInstanceUID") != one.originals.study_instance_uid:
        yield "its StudyInstanceUID is not that of its originals"
    heads = _its_heads(one)
    if not heads and one.promise is not None:
        yield "none of its originals can be read"
    for keyword in _OF_THE_PATIENT:
        own = _plain(one.dataset, keyword)
        if any(_plain(head, keyword) != own for head in heads):
            yield f"its {keyword} is not that of its originals"
    for keyword in _OF_THE_STUDY:
        of_study = {_plain(head, keyword) for head in one.originals.heads}
        if of_study and _plain(one.dataset, keyword) not in of_study:
            yield f"its {keyword} is not that of its originals"
    for dataset in (*heads, one.dataset):
        if _plain(dataset, "PatientIdentityRemoved") == "YES":
            whose = "it" if dataset is one.dataset else "an original"
            yield f"{whose} is marked as de-identified (PatientIdentityRemoved)"


def _its_heads(one: _Result) -> list[Dataset]:
    """Choose the heads of the Series that it names; all of them where it names none."""
    about = {
        one.stored[each.sop_instance_uid].key.series_instance_uid
        for each in one.names
        if each.sop_instance_uid in one.stored
    }
    heads = one.originals.heads
    return [head for head in heads if text(head, "SeriesInstanceUID") in about] or list(heads)


def _plain(dataset: Dataset, keyword: str) -> str:
    """Give a value as it reads, whatever its character set and its padding."""
    value = text(dataset, keyword).strip(" \0")
    return value.rstrip("^= ") if keyword == "PatientName" else value


def _references(one: _Result) -> Iterator[str]:
    """Resolve every Instance that it names among what is stored of the Study."""
    study, unknown, count = one.originals.study_instance_uid, 0, 0
    for each in one.names:
        found = one.stored.get(each.sop_instance_uid)
        if found is None:
            unknown += 1
            continue
        count += found.is_original
        if each.sop_class_uid and each.sop_class_uid != found.sop_class_uid:
            yield "it names an object by another SOP class"
        if each.series_instance_uid not in {"", found.key.series_instance_uid}:
            yield "it names an object in another Series"
        if each.study_instance_uid not in {"", study} or found.key.study_instance_uid != study:
            yield "it names another Study"
    if unknown:
        yield f"{unknown} of the objects that it names are not stored here in its Study"
    if not count and not unknown and one.promise is not None:
        yield "it names none of its originals"


def _frames_of_reference(one: _Result) -> Iterator[str]:
    """Hold places in space against the originals' own."""
    known = {text(head, "FrameOfReferenceUID") for head in _its_heads(one)} - {""}
    for uid, is_of_points in gate_contents.frames_of_reference(one.dataset):
        if uid not in known and (known or is_of_points):
            yield "its frame of reference is not that of its originals"


def _contents(one: _Result) -> Iterator[str]:
    quantities = None if one.promise is None else one.promise.quantities
    yield from gate_contents.problems(one.dataset, one.part10, one.originals.heads, quantities)


_LOOKS: Final[tuple[Callable[[_Result], Iterator[str]], ...]] = (
    _names,
    _patient,
    _references,
    _frames_of_reference,
    _contents,
)
