"""What every result bears, whatever its kind: the patient, the study, the series, the equipment.

Identity comes from the stored original's header, in UTF-8; UIDs follow from what is stated, so the
same facts make the same bytes in every run.
"""

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from ai.contract import Code
from ai.header import Reference
from ai.report import codes
from ai.report.original import body_part, code_string, copied, has_side
from ai.report.subject import Subject
from ai.report.words import line
from ai.result import Result, ResultKind
from dicom.part10 import text
from dicom.uid import IMPLEMENTATION_VERSION_NAME, derive

UTF8: Final = "ISO_IR 192"
SERIES_NUMBERS: Final = {
    ResultKind.SR: 9901,
    ResultKind.SEG: 9902,
    ResultKind.GSPS: 9903,
    ResultKind.SC: 9904,
    ResultKind.PM: 9905,
}
_TELLS_SIDE: Final = frozenset({ResultKind.GSPS, ResultKind.SC})
_OFFSET: Final = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")


@dataclass(frozen=True, slots=True)
class Envelope:
    """The facts that all objects about one inference share."""

    subject: Subject
    now: datetime
    digest: str
    """SHA-256 (hex) of all that they state."""

    def series_uid(self, kind: ResultKind) -> str:
        """Give the Series of a kind: the same for all that a model says of one Series.

        Another Series' results are in another one: a Series has one frame of reference and one
        body part (PS3.3 C.7.3.1, C.7.4.1), and is sent where the rule says that asked for it.
        """
        contract, source = self.subject.contract, self.subject.source
        return derive(
            source.study_instance_uid,
            kind,
            contract.algorithm,
            contract.algorithm_version,
            source.series_instance_uid,
        )

    def instance_uid(self, kind: ResultKind, part: str = "") -> str:
        """Give the UID of a kind's object; `part` tells several of them apart."""
        return derive(self.series_uid(kind), self.digest, *([part] if part else []))

    def begin(
        self, kind: ResultKind, sop_class_uid: str, modality: str, *, number: int, part: str = ""
    ) -> Dataset:
        """Begin an image or a presentation state: all modules that do not depend on its kind."""
        contract = self.subject.contract
        ds = Dataset()
        ds.SOPClassUID = sop_class_uid
        ds.SOPInstanceUID = self.instance_uid(kind, part)
        ds.StudyInstanceUID = self.subject.source.study_instance_uid
        ds.SeriesInstanceUID = self.series_uid(kind)
        ds.SeriesNumber = SERIES_NUMBERS[kind]
        ds.InstanceNumber = number
        ds.Modality = modality
        ds.SeriesDescription = line(f"{contract.algorithm} {contract.algorithm_version}")
        ds.Manufacturer = codes.MANUFACTURER
        ds.ManufacturerModelName = line(contract.algorithm)
        ds.DeviceSerialNumber = line(self.subject.served.model)
        ds.SoftwareVersions = software_versions(self.subject)
        where = body_part(self.subject.source.head)
        if where:
            ds.BodyPartExamined = where
        if has_side(where) and kind in _TELLS_SIDE:
            # Type 2C: empty where the Series does not say one.
            ds.Laterality = code_string(self.subject.source.head, "Laterality")
        self.identify(ds)
        return ds

    def identify(self, ds: Dataset) -> None:
        """Lay the patient, the study and the time over an object."""
        ds.SpecificCharacterSet = UTF8
        for keyword, value in copied(self.subject.source.head).items():
            setattr(ds, keyword, value)
        now = self.moment
        ds.ContentDate = ds.InstanceCreationDate = DA(now.date())
        ds.ContentTime = ds.InstanceCreationTime = TM(now.time())

    @property
    def moment(self) -> datetime:
        """The time of the content, where the original's own offset from UTC applies (C.12.1.1)."""
        offset = text(self.subject.source.head, "TimezoneOffsetFromUTC")
        if self.now.tzinfo is None or _OFFSET.fullmatch(offset) is None:
            return self.now
        minutes = int(offset[1:3]) * 60 + int(offset[3:5])
        ahead = timedelta(minutes=minutes if offset[0] == "+" else -minutes)
        return self.now.astimezone(timezone(ahead))

    def explain(self, ds: Dataset, used: Sequence[Code]) -> None:
        """Explain the private coding schemes that an object uses."""
        if schemes := codes.private_schemes(used):
            ds.CodingSchemeIdentificationSequence = schemes

    def seal(self, ds: Dataset, kind: ResultKind) -> Result:
        """Encode a whole object."""
        return Result(
            sop_class_uid=str(ds.SOPClassUID),
            sop_instance_uid=str(ds.SOPInstanceUID),
            series_instance_uid=str(ds.SeriesInstanceUID),
            study_instance_uid=self.subject.source.study_instance_uid,
            transfer_syntax_uid=str(ExplicitVRLittleEndian),
            dataset=_encode(ds),
            findings=self.subject.findings,
            kind=kind,
        )


def software_versions(subject: Subject) -> list[str]:
    """Name the algorithm's version and the node's."""
    return [line(subject.contract.algorithm_version) or "unknown", IMPLEMENTATION_VERSION_NAME]


def referenced(reference: Reference) -> Dataset:
    """Give an item that refers to an Instance (PS3.3 Table 10-11)."""
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


def digest_of(*facts: object) -> str:
    """Give the SHA-256 (hex) of facts: dataclasses, sequences, arrays, numbers and words."""
    digest = hashlib.sha256()
    for fact in facts:
        _feed(digest, fact)
    return digest.hexdigest()


def _feed(digest: Any, fact: object) -> None:
    # Every value is led by its kind and its length, so that no two facts run into each other.
    match fact:
        case np.ndarray():
            digest.update(f"array {fact.dtype.str} {fact.shape};".encode())
            digest.update(np.ascontiguousarray(fact).data)
        case bytes():
            digest.update(f"bytes {len(fact)};".encode() + fact)
        case str() | int() | float() | None:
            said = str(fact) if isinstance(fact, Enum) else repr(fact)
            digest.update(f"{len(said)} {said};".encode())
        case _ if is_dataclass(fact):
            digest.update(f"{type(fact).__name__};".encode())
            for field in fields(fact):
                _feed(digest, getattr(fact, field.name))
        case Sequence():
            digest.update(f"sequence {len(fact)};".encode())
            for one in fact:
                _feed(digest, one)
        case _:
            raise TypeError(f"{type(fact).__name__} cannot be stated in a result")


def _encode(ds: Dataset) -> bytes:
    plain = Dataset()
    plain.update({element.tag: element for element in ds})
    buffer = io.BytesIO()
    dcmwrite(buffer, plain, implicit_vr=False, little_endian=True)
    return buffer.getvalue()
