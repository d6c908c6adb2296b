"""Answers for FHIR out of index and ledger; for the web, for workers, and for the command line."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from config.fhir import Fhir
from node.fhir import words
from node.fhir.imaging_study import Manner, Resource, imaging_study, version_of
from node.fhir.search import AFTER, Search
from storage.index import imaging
from storage.index.database import Index
from storage.index.imaging import StudyFilter, StudyRecord
from storage.ledger.studies import Studies


@dataclass(frozen=True, slots=True)
class Found:
    """A resource with its version."""

    resource: Resource
    version: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search."""

    resources: list[Resource]
    total: int
    after: str
    """The Study Instance UID behind which the next page begins; "" where this is the last."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the node can say in FHIR; each method blocks, and may be called from any thread."""

    settings: Fhir
    index: Index
    studies: Studies

    def study(self, resource_id: str, public_url: str) -> Found | None:
        """Give the ImagingStudy of an id; None where there is none. Raises a StorageFault."""
        with self.index.reading() as cursor:
            record = imaging.whole(cursor, resource_id)
            if record is None and resource_id.startswith(words.MARK):
                wanted = StudyFilter()
                digest = resource_id.removeprefix(words.MARK)
                wanted.of_uids([], [digest], words.DIGEST_LENGTH)
                found = imaging.page(cursor, wanted, "", 1)
                uid = str(found[0].study["StudyInstanceUID"]) if found else ""
                record = imaging.whole(cursor, uid) if uid else None
        return None if record is None else self._found(record, public_url)

    def of_uid(self, study_instance_uid: str, public_url: str) -> Found | None:
        """Give the ImagingStudy of a Study; None where the index has none. Raises as `study`."""
        with self.index.reading() as cursor:
            record = imaging.whole(cursor, study_instance_uid)
        return None if record is None else self._found(record, public_url)

    def search(self, search: Search, public_url: str) -> Page:
        """Answer a search; Studies come by UID, without their Instances. Raises as `study`."""
        with self.index.reading() as cursor:
            total = imaging.count(cursor, search.wanted)
            records = imaging.page(cursor, search.wanted, search.after, search.count + 1)
        here = records[: search.count]
        manner = self._manner(public_url)
        is_more = len(records) > len(here) and bool(here)
        after = str(here[-1].study["StudyInstanceUID"]) if is_more else ""
        return Page([imaging_study(one, manner) for one in here], total, after)

    def _found(self, record: StudyRecord, public_url: str) -> Found:
        version = version_of(self.studies.revision(str(record.study["StudyInstanceUID"])), record)
        resource = imaging_study(record, self._manner(public_url), version=version)
        return Found(resource, version)

    def _manner(self, public_url: str) -> Manner:
        base = (self.settings.public_url or public_url).rstrip("/")
        where = f"{base}/dicom-web" if base else ""
        return Manner(self.settings.patient_names, self.settings.issuers, where)


def bundle(page: Page, base: str, asked: list[tuple[str, str]]) -> Resource:
    """Write a page as a searchset; `base` is the URL of /fhir, `asked` the parameters."""

    def link(parameters: list[tuple[str, str]]) -> str:
        query = urlencode(parameters)
        return f"{base}/ImagingStudy" + (f"?{query}" if query else "")

    links = [{"relation": "self", "url": link(asked)}]
    if page.after:
        rest = [(name, value) for name, value in asked if name != AFTER]
        links.append({"relation": "next", "url": link([*rest, (AFTER, page.after)])})
    entries: list[dict[str, Any]] = [
        {
            "fullUrl": f"{base}/ImagingStudy/{one['id']}",
            "resource": one,
            "search": {"mode": "match"},
        }
        for one in page.resources
    ]
    found: Resource = {
        "resourceType": "Bundle", "type": "searchset", "total": page.total, "link": links,
    }  # fmt: skip
    return found | ({"entry": entries} if entries else {})
