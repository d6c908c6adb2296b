"""What a retrieval names: entities of one level by their unique keys (PS3.4 C.4.2.1, PS3.18 10.4).

The same for C-MOVE, C-GET, WADO-RS and what the node asks of itself.
"""

from dataclasses import dataclass

from dicom.attributes import Level
from dicom.entity import Instance


@dataclass(frozen=True, slots=True)
class Selection:
    """Instances by the entities that hold them; an empty tuple does not narrow.

    At least one of the tuples is filled. What several of them say holds together.
    """

    patient_ids: tuple[str, ...] = ()
    study_instance_uids: tuple[str, ...] = ()
    series_instance_uids: tuple[str, ...] = ()
    sop_instance_uids: tuple[str, ...] = ()

    @property
    def level(self) -> Level:
        """The lowest level at which it names something."""
        filled = {
            Level.IMAGE: self.sop_instance_uids,
            Level.SERIES: self.series_instance_uids,
            Level.STUDY: self.study_instance_uids,
        }
        return next((level for level, uids in filled.items() if uids), Level.PATIENT)


@dataclass(frozen=True, slots=True)
class Stored:
    """An Instance that the index knows, with the Series and Study it was filed under."""

    instance: Instance
    study_instance_uid: str
    series_instance_uid: str
