"""A plain pynetdicom storage SCU: sends datasets one by one and notes each answer."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association


@dataclass(frozen=True, slots=True)
class Answer:
    """What the SCP said about one object; status None when it said nothing."""

    sop_instance_uid: str
    status: int | None


def store_all(
    port: int,
    images: Sequence[Dataset],
    *,
    calling_ae: str,
    called_ae: str,
    after_each: Callable[[Answer], object] = lambda _: None,
) -> list[Answer]:
    """Send over one association until all are sent or the association is gone."""
    entity = ApplicationEntity(calling_ae)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 5
    for image in images:
        context = (image.SOPClassUID, image.file_meta.TransferSyntaxUID)
        if context not in [(c.abstract_syntax, c.transfer_syntax[0]) for c in
                           entity.requested_contexts]:  # fmt: skip
            entity.add_requested_context(*context)
    association = entity.associate("127.0.0.1", port, ae_title=called_ae)
    answers: list[Answer] = []
    try:
        for image in images:
            if not association.is_established:
                break
            status = association.send_c_store(image)
            answers.append(Answer(str(image.SOPInstanceUID), status.get("Status")))
            after_each(answers[-1])
            _let_it_wake(association)
    finally:
        if association.is_established:
            association.release()
        if association.dul.socket is not None and association.dul.socket.socket is not None:
            association.dul.socket.socket.close()  # pynetdicom leaves it open when the peer died
    return answers


def _let_it_wake(association: Association) -> None:
    """Wait until pynetdicom's own thread is awake after an answer.

    One that wakes only while the next object is on its way takes the answer to it for a request,
    and the association waits for that answer in vain.
    """
    while association._is_paused and association.is_established:  # noqa: SLF001  (nothing public tells)
        time.sleep(0.0002)
