"""A peer that receives by C-STORE: one association for many objects, one answer for each."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from pydicom.dataset import Dataset

from config.destinations import DicomDestination
from config.model import Peer
from dicom import scu
from dicom.entity import SeriesKey
from dicom.errors import Refused
from dicom.store_scu import RemoteAe, StoreScu
from dicom.uid import STUDY_ROOT_FIND
from dicom.wire import AssociationLost
from storage.destinations.base import Delivered, Outgoing, Proof, Receipt

LOST_IN_A_ROW: Final = 3
"""So many lost associations without an answer between them, and the rest can wait."""


class DicomPeer:
    """A remote AE."""

    def __init__(self, name: str, settings: DicomDestination, peer: Peer, calling_ae: str) -> None:
        if peer.host is None or peer.port is None:
            raise Refused(f"peers.{settings.peer} has no host and port to send to")
        self._name = name
        self._peer = RemoteAe(
            peer.host, peer.port, settings.peer, calling_ae, settings.timeout_s
        )  # fmt: skip
        self._scu = StoreScu(self._peer)

    def check(self) -> None:
        """Associate and C-ECHO. Raises Unreachable, Busy or Refused."""
        peer = self._peer
        with scu.associate(
            peer.host, peer.port, called_ae=peer.called_ae, calling_ae=peer.calling_ae,
            contexts=scu.verification(), timeout_s=peer.timeout_s,
        ) as association:  # fmt: skip
            scu.echo(association)

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver objects in order; see the contract in base.py.

        An object that the peer refuses, or over which it ends the association, does not keep the
        others back: the fault is raised after the last object. A peer that loses several in a row
        is taken for gone.
        """
        refusals: list[Refused] = []
        losses: list[AssociationLost] = []
        in_a_row = 0
        for outgoing in objects:
            try:
                code = self._scu.store(
                    outgoing.chunks,
                    sop_class_uid=outgoing.sop_class_uid,
                    sop_instance_uid=outgoing.sop_instance_uid,
                    transfer_syntax_uid=outgoing.transfer_syntax_uid,
                )
            except scu.Rejected:
                raise
            except Refused as refusal:
                refusals.append(refusal)
                continue
            except AssociationLost as loss:
                losses.append(loss)
                in_a_row += 1
                if in_a_row >= LOST_IN_A_ROW:
                    raise
                continue
            in_a_row = 0
            yield self._receipt(outgoing, code)
        if losses:  # they are owed; what was refused is refused again then
            raise losses[0]
        if refusals:
            raise Refused(f"{len(refusals)} refused, first: {refusals[0]}")

    def prove(self, delivered: Sequence[Delivered]) -> Iterator[Proof]:
        """Ask for each Series by C-FIND (Study Root, IMAGE level); see the contract in base.py.

        What the peer holds cannot be read this way: that it lists the Instance is all that is
        proven.
        """
        peer, held = self._peer, dict[SeriesKey, set[str]]()
        with scu.associate(
            peer.host, peer.port, called_ae=peer.called_ae, calling_ae=peer.calling_ae,
            contexts=scu.proposing(STUDY_ROOT_FIND), timeout_s=peer.timeout_s,
        ) as association:  # fmt: skip
            for series in {each.series for each in delivered if each.series}:
                found = scu.find(association, _instances_of(series), STUDY_ROOT_FIND)
                held[series] = {str(match.get("SOPInstanceUID", "")) for match in found}
        for each in delivered:
            yield _listed(each, held)

    def close(self) -> None:
        """Release the association."""
        self._scu.close()

    def _receipt(self, outgoing: Outgoing, code: int) -> Receipt:
        return Receipt(
            destination=self._name,
            source_digest=outgoing.source_digest,
            sop_instance_uid=outgoing.sop_instance_uid,
            location=str(self._peer),
            digest_sent=outgoing.digest(),
            digest_read_back="",
            proof=f"status 0x{code:04X}",
            delivered_at=time.time(),
        )


def _instances_of(series: SeriesKey) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "IMAGE"
    identifier.StudyInstanceUID = series.study_instance_uid
    identifier.SeriesInstanceUID = series.series_instance_uid
    identifier.SOPInstanceUID = ""
    return identifier


def _listed(delivered: Delivered, held: Mapping[SeriesKey, Collection[str]]) -> Proof:
    if delivered.series is None:
        words = "its new Study and Series UIDs were not noted, so it cannot be asked for"
        return Proof(holds=None, digest="", words=words)
    if delivered.receipt.sop_instance_uid in held[delivered.series]:
        return Proof(holds=True, digest="", words="listed by C-FIND")
    return Proof(holds=False, digest="", words="not listed by C-FIND")
