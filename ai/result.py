"""A result of a model as an object ready for the spool, with the findings that it states."""

from dataclasses import dataclass
from enum import StrEnum

from ai.findings import Finding
from dicom.entity import Arrival, Origin
from dicom.part10 import file_meta

AE_TITLE = "PENUMBRA"


class ResultKind(StrEnum):
    """What kind of object a result is."""

    SR = "sr"
    """Comprehensive 3D SR after TID 1500; there always is one."""
    SEG = "seg"
    """Segmentation, of masks."""
    GSPS = "gsps"
    """Grayscale Softcopy Presentation State: outlines, boxes and points over the originals."""
    SC = "sc"
    """Secondary Capture: key images with the findings drawn in, for a PACS that shows no other."""
    PM = "pm"
    """Parametric Map, of heat maps."""


@dataclass(frozen=True, slots=True)
class Result:
    """One DICOM object that was made from a Series."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes
    """The encoded dataset, without preamble and file meta."""
    findings: tuple[Finding, ...]
    kind: ResultKind = ResultKind.SR

    @property
    def part10(self) -> bytes:
        """The whole file: preamble, file meta, dataset (PS3.10 Chapter 7)."""
        arrival = Arrival(
            sop_class_uid=self.sop_class_uid,
            sop_instance_uid=self.sop_instance_uid,
            transfer_syntax_uid=self.transfer_syntax_uid,
            calling_ae=AE_TITLE,
            called_ae=AE_TITLE,
            association="",
            address="",
            received_at=0,
            origin=Origin.AI,
        )
        return file_meta(arrival) + self.dataset
