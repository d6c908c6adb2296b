"""Call other AEs: associate, store encoded bytes unchanged, understand the answers."""

import contextlib
import io
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import PresentationContext, build_context

from dicom import status
from dicom.context import accepted
from dicom.errors import Busy, Refused, Unreachable
from dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

Chunk = bytes | memoryview

VERIFICATION: Final = "1.2.840.10008.1.1"
MAX_PDU_BYTES: Final = 131_072
_PREFIX_BYTES: Final = 132
_CONNECT_S: Final = 10.0

_REJECTIONS: Final[Mapping[tuple[int | None, int | None], str]] = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised: the peer must be told of this node's title",
    (1, 7): "called AE title not recognised: check the peer's title in the config",
    (2, 1): "no reason given by its association layer",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "its limit of associations is reached",
}
"""PS3.8 Table 9-21, by (source, reason), with the fix where there is one."""


@contextlib.contextmanager
def associate(
    host: str,
    port: int,
    *,
    called_ae: str,
    calling_ae: str,
    contexts: Sequence[PresentationContext],
    timeout_s: float = 30.0,
) -> Iterator[Association]:
    """Open an association, and release it when the block ends (abort it when it ends badly).

    `timeout_s` bounds every wait for the peer. Raises Unreachable when nobody answers or the
    peer aborts, Busy when it rejects for the moment, Refused when it rejects for good.
    """
    entity = ApplicationEntity(calling_ae)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.connection_timeout = min(timeout_s, _CONNECT_S)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout_s
    entity.requested_contexts = list(contexts)
    where = f"{called_ae}@{host}:{port}"
    association = entity.associate(host, port, ae_title=called_ae, max_pdu=MAX_PDU_BYTES)
    if not association.is_established:
        raise _not_established(association, where)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def _not_established(association: Association, where: str) -> Busy | Refused | Unreachable:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        words = _REJECTIONS.get((answer.result_source, answer.diagnostic), "reason unknown")
        kind = Busy if answer.result == 2 else Refused
        return kind(f"{where} rejected the association: {words}")
    if association.is_aborted:
        return Unreachable(f"{where} aborted, or did not answer, while the association was opened")
    return Unreachable(f"nobody answers at {where}")


def echo(association: Association) -> None:
    """Send C-ECHO (PS3.7 9.1.5). Raises Unreachable, or Refused with the status."""
    if not any(one.abstract_syntax == VERIFICATION for one in association.accepted_contexts):
        raise Refused("the peer does not offer Verification (C-ECHO)")
    code = association.send_c_echo().get("Status")
    if code is None:
        raise Unreachable("the association ended before C-ECHO was answered")
    if code != status.SUCCESS:
        raise Refused(f"C-ECHO was answered 0x{code:04X}")


def verification() -> list[PresentationContext]:
    """List the contexts for C-ECHO."""
    return [build_context(VERIFICATION)]


def store(
    association: Association,
    chunks: Sequence[Chunk],
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    message_id: int = 1,
) -> int:
    """Send one Part 10 file by C-STORE, its dataset byte for byte; returns the peer's status.

    Warnings are successes (PS3.4 B.2.3). Raises Refused when the peer accepted no context for it
    or says no, Busy when it is out of resources, Unreachable when the association ends.
    """
    context_id = accepted(association.accepted_contexts, sop_class_uid, transfer_syntax_uid)
    if context_id is None:
        raise Refused(
            f"the peer does not accept SOP class {sop_class_uid} in transfer syntax "
            f"{transfer_syntax_uid}"
        )
    request = C_STORE()
    request.MessageID = message_id
    request.AffectedSOPClassUID = sop_class_uid
    request.AffectedSOPInstanceUID = sop_instance_uid
    request.Priority = 0
    request.DataSet = io.BytesIO(_dataset(chunks))
    answer = _exchange(association, context_id, request)
    if answer is None:
        raise Unreachable(f"the association ended before {sop_instance_uid} was answered")
    return judge(answer, sop_instance_uid)


def judge(code: int, sop_instance_uid: str) -> int:
    """Return a C-STORE status that means stored; raise Busy or Refused for any other."""
    if status.is_success(code):
        return code
    if code & 0xFF00 == status.OUT_OF_RESOURCES:
        raise Busy(f"{sop_instance_uid} was answered 0x{code:04X}, out of resources")
    raise Refused(f"{sop_instance_uid} was answered 0x{code:04X}")


def _exchange(association: Association, context_id: int, request: C_STORE) -> int | None:
    """Send a request and wait for its answer, as pynetdicom does for a dataset that it encoded.

    Its own send_c_store decodes and encodes anew, or switches a process-wide setting.
    """
    if not association.is_established:
        return None
    checkpoint = association._reactor_checkpoint  # noqa: SLF001  (no public way; see above)
    checkpoint.clear()
    try:
        while not association._is_paused and association.is_alive():  # noqa: SLF001  (as above)
            time.sleep(0.0001)
        association.dimse.send_msg(request, context_id)
        _, response = association.dimse.get_msg(block=True)
    finally:
        checkpoint.set()
    if response is None:
        if association.is_established:  # silence: the time is up
            association.abort()
        return None
    return response.Status if isinstance(response, C_STORE) else None


def _dataset(chunks: Sequence[Chunk]) -> bytes:
    """Cut preamble and file meta off; what follows is the dataset (PS3.10 7.1)."""
    whole = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
    group, element, _, _, length = struct.unpack_from("<HH2sHL", whole, _PREFIX_BYTES)
    if (group, element) != (2, 0):
        raise Refused("the file meta does not begin with its length")
    return bytes(whole[_PREFIX_BYTES + 12 + length :])
