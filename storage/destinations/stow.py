"""A DICOMweb server that receives by STOW-RS (PS3.18 10.5): requests of many objects, streamed."""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote

from config.destinations import StowDestination
from dicom.entity import SeriesKey
from dicom.errors import Busy, Refused
from dicom.store_answer import Meaning
from storage.destinations.base import Delivered, Outgoing, Proof, Receipt, compared
from storage.destinations.stow_answer import (
    Verdict,
    boundary_of,
    first_part_digest,
    instances,
    multipart,
    multipart_bytes,
    verdicts,
)
from storage.destinations.tally import Tally
from storage.destinations.web import Answer, ReadSecret, Web

_JSON: Final = "application/dicom+json"
_AS_IT_IS: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PAGE: Final = 200
"""Azure Health Data Services take no larger one: they answer 400."""
_ANSWERED: Final = frozenset({200, 202, 409})
"""What a server answers that looked at each object (PS3.18 Table 10.5.3-1)."""
_ABOUT_THE_BODY: Final = frozenset({400, 406, 413, 415, 422})
"""What one object of many may be the reason for: they are then sent in smaller requests."""
_NO_SUCH_SERVICE: Final = frozenset({404, 405, 410, 501})
_NOTHING: Final = frozenset({204, 404})
"""How servers say that a search found nothing."""


class Stow:
    """A DICOMweb service."""

    def __init__(self, name: str, settings: StowDestination, read_secret: ReadSecret) -> None:
        self._name = name
        self._settings = settings
        self._web = Web(settings, read_secret)

    def check(self) -> None:
        """Search for one Study. Raises Unreachable, Busy or Refused."""
        answer = self._web.ask("GET", "/studies?limit=1", {"Accept": _JSON})
        # A server that only receives offers no search, and says so.
        if answer.status >= 400 and answer.status not in {405, 501}:
            raise Refused(f"{self._web.url} answered {answer.status}: is `url` the root?")

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver objects, many in a request; see the contract in base.py.

        What the server does not take does not keep the others back: it is told at the end.
        """
        tally = Tally()
        for batch in self._batches(objects):
            yield from self._delivered(batch, tally)
        tally.settle()

    def prove(self, delivered: Sequence[Delivered]) -> Iterator[Proof]:
        """Search for each Series by QIDO-RS, or fetch what was read back before; see base.py."""
        held: dict[SeriesKey, set[str] | None] = {}
        for each in delivered:
            series, receipt = each.series, each.receipt
            if series is None:
                words = "its new Study and Series UIDs were not noted, so it cannot be asked for"
                yield Proof(holds=None, digest="", words=words)
            elif receipt.digest_read_back:
                yield compared(receipt, self._digest(series, receipt.sop_instance_uid))
            else:
                if series not in held:
                    held[series] = self._listed(series)
                yield _found(receipt, held[series])

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def _batches(self, objects: Iterable[Outgoing]) -> Iterator[list[Outgoing]]:
        """Gather objects to requests; those before a fault of whoever makes them still go."""
        batch: dict[str, Outgoing] = {}
        size_bytes, most_bytes = 0, self._settings.batch_mb << 20
        try:
            for outgoing in objects:
                is_over = size_bytes + outgoing.size_bytes > most_bytes
                is_full = is_over or len(batch) >= self._settings.batch_objects
                # An answer tells objects apart by their UID: two of one cannot share a request.
                if batch and (is_full or outgoing.sop_instance_uid in batch):
                    yield [*batch.values()]
                    batch, size_bytes = {}, 0
                batch[outgoing.sop_instance_uid] = outgoing
                size_bytes += outgoing.size_bytes
        except GeneratorExit:
            raise
        except BaseException:  # whatever it is, what came before leaves
            if batch:
                yield [*batch.values()]
            raise
        if batch:
            yield [*batch.values()]

    def _delivered(self, batch: Sequence[Outgoing], tally: Tally) -> Iterator[Receipt]:
        answer = self._post(batch)
        judged = verdicts(answer.content_type, answer.body)
        if not judged and answer.status in _NO_SUCH_SERVICE:
            raise Refused(f"{self._web.url}/studies answered {answer.status}: no STOW-RS there")
        if not judged and answer.status not in _ANSWERED:
            if answer.status in _ABOUT_THE_BODY and len(batch) > 1:
                half = len(batch) // 2
                yield from self._delivered(batch[:half], tally)
                yield from self._delivered(batch[half:], tally)
                return
            judged = dict.fromkeys(
                (each.sop_instance_uid for each in batch),
                Verdict(Meaning.REFUSED, f"the request was answered {answer.status}"),
            )
        not_taken: list[Busy | Refused] = []
        for outgoing in batch:
            verdict = self._verdict(outgoing, judged, answer)
            try:
                receipt = self._receipt(outgoing, verdict, answer.status)
            except (Busy, Refused) as fault:
                not_taken.append(fault)
                continue
            tally.took()
            yield receipt
        for each in not_taken:  # after what was stored: the third may end the delivery
            tally.note(each)

    def _post(self, batch: Sequence[Outgoing]) -> Answer:
        boundary = secrets.token_hex(16)
        related = f'multipart/related; type="application/dicom"; boundary={boundary}'
        return self._web.ask(
            "POST",
            "/studies",
            {"Content-Type": related, "Accept": _JSON},
            lambda: multipart(batch, boundary),
            multipart_bytes(batch, boundary),
        )

    def _verdict(self, outgoing: Outgoing, judged: dict[str, Verdict], answer: Answer) -> Verdict:
        """Say what became of an object, asking for it where the answer leaves that open."""
        verdict = judged.get(outgoing.sop_instance_uid)
        is_conflict = answer.status == 409
        if verdict is not None and not (is_conflict and verdict.is_vague):
            return verdict
        listed = self._listed(_series(outgoing), outgoing.sop_instance_uid)
        if listed:
            meaning = Meaning.THERE if is_conflict else Meaning.STORED
            return Verdict(meaning, f"{meaning}: listed by QIDO-RS")
        return verdict or Verdict(
            Meaning.REFUSED, "the server's answer says nothing of it, and it is not listed"
        )

    def _receipt(self, outgoing: Outgoing, verdict: Verdict, status: int) -> Receipt:
        """Make the receipt of an object. Raises Busy or Refused where there is none to make."""
        uid, digest, read_back = outgoing.sop_instance_uid, outgoing.digest(), ""
        if verdict.meaning is Meaning.BUSY:
            raise Busy(f"{uid}: {verdict.words}")
        if verdict.meaning is Meaning.REFUSED:
            raise Refused(f"{uid}: {verdict.words}")
        proof = f"STOW-RS {status}" + (f", {verdict.words}" if verdict.words else "")
        if self._settings.read_back:
            read_back = self._digest(_series(outgoing), uid)
            if not read_back:
                raise Busy(f"{uid}: the server does not give back yet what it says it stored")
            if read_back != digest:
                raise Refused(
                    f"{uid}: the server holds other bytes than were sent; where it writes files"
                    " anew, read_back cannot be asked for"
                )
            proof += ", read-back"
        return Receipt(
            destination=self._name,
            source_digest=outgoing.source_digest,
            sop_instance_uid=uid,
            location=self._web.url + _path(_series(outgoing), uid),
            digest_sent=digest,
            digest_read_back=read_back,
            proof=proof,
            delivered_at=time.time(),
        )

    def _listed(self, series: SeriesKey, sop_instance_uid: str = "") -> set[str] | None:
        """List what the server holds of a Series, or of one object; None where it cannot say."""
        found: set[str] = set()
        path = _path(series) + "?"
        if sop_instance_uid:
            path += f"SOPInstanceUID={quote(sop_instance_uid)}&"
        while True:
            answer = self._web.ask(
                "GET", f"{path}limit={_PAGE}&offset={len(found)}", {"Accept": _JSON}
            )
            if answer.status in _NOTHING:
                return found
            if answer.status >= 400:
                return None
            page = set(instances(answer.body)) - found
            found |= page
            if sop_instance_uid:
                return found & {sop_instance_uid}
            if not page:  # the end, or a server that gives everything at once
                return found

    def _digest(self, series: SeriesKey, sop_instance_uid: str) -> str:
        """Fetch an object by WADO-RS as it is kept, for its SHA-256 (hex); "" where it is not."""
        path = _path(series, sop_instance_uid)
        with self._web.stream("GET", path, {"Accept": _AS_IT_IS}) as answer:
            if answer.status_code in _NOTHING:
                return ""
            if answer.status_code != 200:
                raise Refused(
                    f"{self._web.url} answered {answer.status_code} to WADO-RS: read_back cannot"
                    " be asked for where objects are not given as they are"
                )
            boundary = boundary_of(answer.headers.get("Content-Type", ""))
            return first_part_digest(answer.iter_bytes(), boundary)


def _series(outgoing: Outgoing) -> SeriesKey:
    return SeriesKey(outgoing.study_instance_uid, outgoing.series_instance_uid)


def _path(series: SeriesKey, sop_instance_uid: str = "") -> str:
    study, of_series = quote(series.study_instance_uid), quote(series.series_instance_uid)
    path = f"/studies/{study}/series/{of_series}/instances"
    return f"{path}/{quote(sop_instance_uid)}" if sop_instance_uid else path


def _found(receipt: Receipt, held: set[str] | None) -> Proof:
    if held is None:
        words = "the server offers no search (QIDO-RS), so it cannot be asked"
        return Proof(holds=None, digest="", words=words)
    if receipt.sop_instance_uid in held:
        return Proof(holds=True, digest="", words="listed by QIDO-RS")
    return Proof(holds=False, digest="", words="not listed by QIDO-RS")
