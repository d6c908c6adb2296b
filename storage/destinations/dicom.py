"""A peer that receives by C-STORE: one association for a Series, one answer per object."""

import itertools
import time
from collections.abc import Iterable, Iterator

from config.model import DicomDestination, Peer
from dicom import scu
from dicom.context import MOST_CONTEXTS, proposals
from dicom.errors import Refused
from storage.destinations.base import Outgoing, Receipt

BATCH = 256
"""Objects looked at together to know which contexts an association must propose."""


class DicomPeer:
    """A remote AE."""

    def __init__(self, name: str, settings: DicomDestination, peer: Peer, calling_ae: str) -> None:
        if peer.host is None or peer.port is None:
            raise Refused(f"peers.{settings.peer} has no host and port to send to")
        self._name = name
        self._called_ae = settings.peer
        self._host, self._port = peer.host, peer.port
        self._calling_ae = calling_ae
        self._timeout_s = settings.timeout_s

    def check(self) -> None:
        """Associate and C-ECHO. Raises Unreachable, Busy or Refused."""
        with scu.associate(
            self._host, self._port, called_ae=self._called_ae, calling_ae=self._calling_ae,
            contexts=scu.verification(), timeout_s=self._timeout_s,
        ) as association:  # fmt: skip
            scu.echo(association)

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver objects in order; see the contract in base.py.

        An object that the peer refuses does not keep the others back: the first refusal is
        raised after the last object.
        """
        waiting = iter(objects)
        refusals: list[Refused] = []
        while batch := list(itertools.islice(waiting, BATCH)):
            yield from self._send_batch(batch, refusals)
        if refusals:
            raise Refused(f"{len(refusals)} refused: {refusals[0]}")

    def close(self) -> None:
        """Hold nothing open between sends."""

    def _send_batch(self, batch: list[Outgoing], refusals: list[Refused]) -> Iterator[Receipt]:
        needed = dict.fromkeys((one.sop_class_uid, one.transfer_syntax_uid) for one in batch)
        for contexts in proposals(needed):
            pairs = {(c.abstract_syntax, c.transfer_syntax[0]) for c in contexts}
            mine = [o for o in batch if (o.sop_class_uid, o.transfer_syntax_uid) in pairs]
            assert len(contexts) <= MOST_CONTEXTS
            with scu.associate(
                self._host, self._port, called_ae=self._called_ae,
                calling_ae=self._calling_ae, contexts=contexts, timeout_s=self._timeout_s,
            ) as association:  # fmt: skip
                for number, outgoing in enumerate(mine):
                    try:
                        code = scu.store(
                            association,
                            outgoing.chunks,
                            sop_class_uid=outgoing.sop_class_uid,
                            sop_instance_uid=outgoing.sop_instance_uid,
                            transfer_syntax_uid=outgoing.transfer_syntax_uid,
                            message_id=number % 65_535 + 1,
                        )
                    except Refused as refusal:
                        refusals.append(refusal)
                        continue
                    yield self._receipt(outgoing, code)

    def _receipt(self, outgoing: Outgoing, code: int) -> Receipt:
        return Receipt(
            destination=self._name,
            source_digest=outgoing.source_digest,
            sop_instance_uid=outgoing.sop_instance_uid,
            location=f"{self._called_ae}@{self._host}:{self._port}",
            digest_sent=outgoing.digest(),
            digest_read_back="",
            proof=f"status 0x{code:04X}",
            delivered_at=time.time(),
        )
