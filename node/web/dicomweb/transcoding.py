"""Give an Instance in another transfer syntax, without loss, as C-MOVE does."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dicom.entity import Instance
from dicom.native import Piece
from node.web.dicomweb.checked import PIECE_BYTES

if TYPE_CHECKING:  # the archive has no need to know who uses it
    from node.web.dicomweb.archive import Archive


def given(archive: "Archive", instance: Instance, transfer_syntax_uid: str) -> Iterator[Piece]:
    """Give a Part 10 file in another transfer syntax, piece by piece.

    Raises StorageFault, and Refused or CannotUnderstand where it cannot be made.
    """
    arrival = instance.arrival
    source = arrival.sop_class_uid, arrival.sop_instance_uid, arrival.transfer_syntax_uid
    chunks = list(archive.checked.pieces(instance))
    for piece in archive.transcoding.transcode(chunks, source, transfer_syntax_uid):
        for at in range(0, len(piece), PIECE_BYTES):
            yield piece[at : at + PIECE_BYTES]
