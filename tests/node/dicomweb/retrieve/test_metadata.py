"""WADO-RS metadata: every attribute but bulk data, by JSON or XML, told apart by its ETag."""

import gzip
import json
import xml.etree.ElementTree as ET

import pydicom
import pytest

from node.web.dicomweb.metadata import takes_gzip

XML = 'multipart/related; type="application/dicom+xml"'
NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def plain(dataset):
    """What a dataset says of itself as text, but for pixels and long values."""
    return {
        element.keyword: str(element.value)
        for element in dataset
        if element.keyword and element.VR not in {"SQ", "OB", "OW", "UN", "DS", "FD", "FL", "OF"}
        and element.keyword != "SpecificCharacterSet"
    }  # fmt: skip


@pytest.mark.parametrize("name", ["ct", "mr-implicit", "mr-big-endian", "report", "deflated"])
def test_metadata_is_what_the_object_says(shelf, hold, name):
    """The JSON of an instance reads back as the attributes of its dataset."""
    held = hold(name)
    (head,) = shelf.get(f"{held.url}/metadata").json()
    read = plain(pydicom.Dataset.from_json(head, bulk_data_uri_handler=lambda *_: b""))
    assert read == plain(held.dataset)


def test_a_study_is_one_array(shelf, hold):
    """A study's metadata is one JSON array with an object for each instance."""
    mine = hold("mr"), hold("mr-rle")
    heads = shelf.get(mine[0].url.partition("/series")[0] + "/metadata").json()
    uids = {head["00080018"]["Value"][0] for head in heads}
    assert {held.dataset.SOPInstanceUID for held in mine} <= uids


@pytest.mark.parametrize("name", ["ct", "palette", "multi-frame", "mr-rle"])
def test_bulk_data_is_named_by_urls_that_answer(shelf, hold, name):
    """Every BulkDataURI is a URL of this node, and GET gives the value."""
    held = hold(name)
    (head,) = shelf.get(f"{held.url}/metadata").json()
    found = []

    def collect(element):
        if "BulkDataURI" in element:
            found.append(element["BulkDataURI"])
        for item in element.get("Value", ()) if element.get("vr") == "SQ" else ():
            for each in item.values():
                collect(each)

    for element in head.values():
        collect(element)
    assert f"{shelf.http.base_url}{held.url.lstrip('/')}/bulkdata/7FE00010" in found
    for url in found:
        assert shelf.get(url).status_code == 200


def test_metadata_is_told_apart_by_its_etag(shelf, hold):
    """Who has the metadata hears 304, until an instance more is there."""
    held = hold("jpeg-2000")
    url = held.url.partition("/series")[0] + "/metadata"
    first = shelf.get(url)
    etag = first.headers["etag"]
    same = shelf.get(url, **{"If-None-Match": f'"other", W/{etag}'})
    assert (same.status_code, same.content) == (304, b"")
    hold("jpeg-extended")
    assert shelf.get(url, **{"If-None-Match": etag}).status_code == 200


def test_metadata_is_packed_for_who_takes_gzip(shelf, hold):
    """With Accept-Encoding: gzip the same JSON comes packed, under an ETag of its own."""
    url = f"{hold('ct').url}/metadata"
    with shelf.http.stream("GET", url, headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    bare = shelf.get(url, **{"Accept-Encoding": "identity"})
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed)) == bare.json()
    assert "content-encoding" not in bare.headers
    assert bare.headers["etag"] != answer.headers["etag"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.0", False),
     ("", False), ("br", False), ("GZIP", True)],
)  # fmt: skip
def test_who_takes_gzip(header, expected):
    """An Accept-Encoding header is read with its weights."""
    assert takes_gzip(header) is expected


@pytest.mark.parametrize("name", ["ct", "report"])
def test_metadata_as_xml(shelf, hold, name):
    """application/dicom+xml is the Native DICOM Model: well-formed, with the same values."""
    held = hold(name)
    ((head, body),) = shelf.parts(shelf.get(f"{held.url}/metadata", XML))
    assert head["content-type"] == "application/dicom+xml"
    root = ET.fromstring(body)
    assert root.tag == f"{NAMESPACE}NativeDicomModel"
    values = {
        each.get("keyword"): [value.text for value in each.findall(f"{NAMESPACE}Value")]
        for each in root
    }
    assert values["SOPInstanceUID"] == [held.dataset.SOPInstanceUID]
    assert values["StudyDate"] == [held.dataset.StudyDate or None][: len(values["StudyDate"])]
    name_ = root.find(
        f".//{NAMESPACE}DicomAttribute[@keyword='PatientName']//{NAMESPACE}FamilyName"
    )
    assert name_.text == held.dataset.PatientName.family_name


def test_metadata_in_no_form_that_is_taken(shelf, hold):
    """406 for who takes neither."""
    assert shelf.get(f"{hold('ct').url}/metadata", "text/html").status_code == 406


def test_an_object_that_the_index_has_no_head_of(shelf, hold, monkeypatch):
    """A head that is not in the index yet is read from the object's bytes, and is the same."""
    held = hold("ct")
    (indexed,) = shelf.get(f"{held.url}/metadata").json()
    real = shelf.index.heads
    monkeypatch.setattr(shelf.index, "heads", lambda which: ((one, None) for one, _ in real(which)))
    (read,) = shelf.get(f"{held.url}/metadata").json()
    assert read == indexed
