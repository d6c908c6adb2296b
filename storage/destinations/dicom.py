"""A peer that receives by C-STORE: associations for many objects, one answer for each."""

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from config import certificates
from config.destinations import DicomDestination
from config.model import Peer
from config.shapes import ClientTls
from dicom import scu
from dicom.entity import SeriesKey
from dicom.errors import Busy, Refused, Unreachable
from dicom.store_answer import describe
from dicom.store_scu import RemoteAe, StoreScu, encoded_dataset
from dicom.transcode import name as syntax_name
from dicom.transcode import substitutes, transcode
from dicom.uid import STUDY_ROOT_FIND
from storage.destinations.base import Delivered, Outgoing, Proof, Receipt
from storage.destinations.lanes import Lanes, NotConnected


@dataclass(slots=True)
class _Association:
    """One of the associations that objects are sent over, opened again where it ended."""

    destination: str
    settings: DicomDestination
    scu: StoreScu

    def deliver(self, outgoing: Outgoing) -> Receipt:
        """Send one object; raises what StoreScu.store does, or NotConnected."""
        own = outgoing.transfer_syntax_uid
        others = substitutes(own) if self.settings.transcode == "lossless" else ()
        try:
            syntax = self.scu.choose(outgoing.sop_class_uid, (own, *others))
        except (Busy, Unreachable, scu.Rejected) as fault:
            raise NotConnected(fault) from fault
        sent = outgoing if syntax == own else _transcoded(outgoing, syntax)
        code = self.scu.store(
            sent.chunks,
            sop_class_uid=sent.sop_class_uid,
            sop_instance_uid=sent.sop_instance_uid,
            transfer_syntax_uid=syntax,
        )
        words = describe(code)
        if syntax != own:
            words += f", sent in {syntax_name(syntax)} instead of {syntax_name(own)}"
        return Receipt(
            destination=self.destination,
            source_digest=outgoing.source_digest,
            sop_instance_uid=outgoing.sop_instance_uid,
            location=str(self.scu.peer),
            digest_sent=sent.digest(),
            digest_read_back="",
            proof=words,
            delivered_at=time.time(),
        )

    def close(self) -> None:
        """Release it."""
        self.scu.close()


class DicomPeer:
    """A remote AE."""

    def __init__(self, name: str, settings: DicomDestination, peer: Peer, calling_ae: str) -> None:
        if peer.host is None or peer.port is None:
            raise Refused(f"peers.{settings.peer} has no host and port to send to")
        self._peer = remote_ae(settings.peer, peer, calling_ae, settings.timeout_s)
        self._lanes = Lanes(
            [
                _Association(name, settings, StoreScu(self._peer))
                for _ in range(settings.associations)
            ]
        )

    def check(self) -> None:
        """Associate and C-ECHO. Raises Unreachable, Busy or Refused."""
        with self._peer.associate(scu.verification()) as association:
            scu.echo(association)

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver objects, in order within each association; see the contract in base.py.

        An object that the peer refuses or is too busy for, or over which it ends the association,
        does not keep the others back: the fault is raised after the last object. A peer that
        does so several times in a row is taken for gone or full.
        """
        return self._lanes.send(objects)

    def prove(self, delivered: Sequence[Delivered]) -> Iterator[Proof]:
        """Ask for each Series by C-FIND (Study Root, IMAGE level); see the contract in base.py.

        What the peer holds cannot be read this way: that it lists the Instance is all that is
        proven.
        """
        held = dict[SeriesKey, set[str]]()
        with self._peer.associate(scu.proposing(STUDY_ROOT_FIND)) as association:
            for series in {each.series for each in delivered if each.series}:
                found = scu.find(association, _instances_of(series), STUDY_ROOT_FIND)
                held[series] = {str(match.get("SOPInstanceUID", "")) for match in found}
        for each in delivered:
            yield _listed(each, held)

    def close(self) -> None:
        """Release the associations."""
        self._lanes.close()


def remote_ae(title: str, peer: Peer, calling_ae: str, timeout_s: float) -> RemoteAe:
    """Say how a peer of the config file is called. Raises ConfigFault for its TLS files."""
    assert peer.host is not None  # whoever calls has looked
    assert peer.port is not None
    encryption = None
    if peer.tls:
        tls = peer.tls if isinstance(peer.tls, ClientTls) else ClientTls()
        encryption = scu.Encryption(certificates.client(tls), tls.name or peer.host)
    return RemoteAe(peer.host, peer.port, title, calling_ae, timeout_s, encryption)


def _transcoded(outgoing: Outgoing, transfer_syntax_uid: str) -> Outgoing:
    source = (
        outgoing.sop_class_uid,
        outgoing.sop_instance_uid,
        outgoing.transfer_syntax_uid,
    )
    views = encoded_dataset(outgoing.chunks)
    chunks = transcode(outgoing.chunks, views, source, transfer_syntax_uid)
    return replace(
        outgoing, transfer_syntax_uid=transfer_syntax_uid, chunks=chunks, known_digest=""
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
