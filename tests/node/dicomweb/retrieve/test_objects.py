"""WADO-RS gives whole objects: byte for byte as they are, or without loss in another encoding."""

import io
import zipfile

import pydicom
import pytest

MULTIPART = 'multipart/related; type="application/dicom"'
DICOM = "application/dicom"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
EVERYTHING = [
    "ct", "mr-implicit", "mr-big-endian", "mr-rle", "jpeg-baseline", "jpeg-ls", "jpeg-2000",
    "multi-frame", "palette", "segmentation", "deflated", "report",
]  # fmt: skip


def series(held):
    return held.url.partition("/instances")[0]


def study(held):
    return held.url.partition("/series")[0]


@pytest.mark.parametrize("name", EVERYTHING)
def test_what_was_received_comes_back(shelf, hold, name):
    """transfer-syntax=* gives each object byte for byte as it is stored, in parts and alone."""
    held = hold(name)
    answer = shelf.get(held.url, f"{MULTIPART}; transfer-syntax=*")
    ((head, body),) = shelf.parts(answer)
    assert answer.status_code == 200
    assert body == held.part10
    assert head["content-type"] == f"{DICOM}; transfer-syntax={held.syntax}"
    assert head["content-location"].endswith(held.url)
    alone = shelf.get(held.url, f"{DICOM}; transfer-syntax=*")
    assert alone.content == held.part10
    assert alone.headers["content-type"] == f"{DICOM}; transfer-syntax={held.syntax}"


@pytest.mark.parametrize(
    ("name", "accept", "expected"),
    [
        ("ct", MULTIPART, EXPLICIT),
        ("mr-implicit", MULTIPART, EXPLICIT),
        ("mr-implicit", f"{MULTIPART}; transfer-syntax={IMPLICIT}", IMPLICIT),
        ("mr-big-endian", MULTIPART, EXPLICIT),
        ("mr-rle", MULTIPART, EXPLICIT),
        ("mr-rle", f"{MULTIPART}; transfer-syntax={IMPLICIT}", IMPLICIT),
        ("jpeg-ls", MULTIPART, EXPLICIT),
        ("jpeg-ls", f"{MULTIPART}; transfer-syntax=*, {MULTIPART}", "1.2.840.10008.1.2.4.80"),
        ("jpeg-2000-lossless", "", EXPLICIT),
        ("deflated", "*/*", EXPLICIT),
        ("jpeg-baseline", MULTIPART, "1.2.840.10008.1.2.4.50"),
        ("jpeg-baseline", f"{MULTIPART}; transfer-syntax={EXPLICIT}", EXPLICIT),
        ("jpeg-2000", MULTIPART, "1.2.840.10008.1.2.4.91"),
    ],
)
def test_the_transfer_syntax_is_negotiated(shelf, hold, name, accept, expected):
    """Explicit VR Little Endian is the default, what is lossy stays, and what is asked is given."""
    held = hold(name)
    ((head, body),) = shelf.parts(shelf.get(held.url, accept))
    assert head["content-type"] == f"{DICOM}; transfer-syntax={expected}"
    given = pydicom.dcmread(io.BytesIO(body))
    assert given.file_meta.TransferSyntaxUID == expected
    assert given.SOPInstanceUID == held.dataset.SOPInstanceUID
    if expected != held.syntax:
        assert (given.pixel_array == held.dataset.pixel_array).all()


@pytest.mark.parametrize(
    ("level", "accept"),
    [
        (study, DICOM),
        (series, f"{DICOM}; transfer-syntax=*"),
        (study, "text/html"),
        (study, "multipart/related; type=image/jpeg"),
        (study, f"{MULTIPART}; transfer-syntax=1.2.840.10008.1.2.4.80"),
        (study, f"{MULTIPART};q=0"),
    ],
)
def test_what_cannot_be_given_is_406(shelf, hold, level, accept):
    """Nothing that the client takes: 406, with words about what there is."""
    answer = shelf.get(level(hold("ct")), accept)
    assert answer.status_code == 406
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_a_series_comes_whole_with_its_length(shelf, hold):
    """All objects of a series come as parts of one answer, whose length is told before."""
    names = ["mr", "mr-implicit", "mr-big-endian", "mr-rle"]
    objects = [hold(name).part10 for name in names]
    answer = shelf.get(series(hold("mr")), f"{MULTIPART}; transfer-syntax=*")
    assert sorted(body for _, body in shelf.parts(answer)) == sorted(objects)
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_what_cannot_be_given_so_is_left_out_with_a_warning(shelf, hold):
    """Where some instances cannot be given as asked, the others are: 206 with a Warning."""
    kept, _ = hold("multi-frame"), hold("jpeg-ls")
    answer = shelf.get(study(kept), f"{MULTIPART}; transfer-syntax=1.2.840.10008.1.2.4.80")
    assert answer.status_code == 206
    assert "cannot be given as asked" in answer.headers["warning"]
    assert len(shelf.parts(answer)) == 1


def test_a_study_comes_as_a_zip_file(shelf, hold):
    """application/zip gives every object of the study as a file of its own."""
    held = hold("ct")
    packed = zipfile.ZipFile(io.BytesIO(shelf.get(study(held), "application/zip").content))
    assert packed.testzip() is None
    (name,) = packed.namelist()
    assert packed.read(name) == held.part10
    assert name == f"DICOM/{held.dataset.SOPInstanceUID}.dcm"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-0", 0, 0), ("bytes=100-", 100, None), ("bytes=-10", -10, None), ("bytes=5-9", 5, 9)],
)
def test_a_range_of_one_object(shelf, hold, asked, first, last):
    """A range of a single object is those bytes of it, and says which of how many they are."""
    held = hold("ct")
    answer = shelf.get(held.url, f"{DICOM}; transfer-syntax=*", Range=asked)
    whole = held.part10
    assert answer.status_code == 206
    assert answer.content == whole[first : None if last is None else last + 1]
    assert answer.headers["content-range"].endswith(f"/{len(whole)}")


def test_ranges_that_are_none(shelf, hold):
    """416 behind the end; the whole for another version, and 304 for the same one."""
    held = hold("ct")
    accept = f"{DICOM}; transfer-syntax=*"
    behind = shelf.get(held.url, accept, Range="bytes=99999999-")
    assert behind.status_code == 416
    assert behind.headers["content-range"] == f"bytes */{len(held.part10)}"
    other = shelf.get(held.url, accept, Range="bytes=0-9", **{"If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, held.part10)
    etag = other.headers["etag"]
    assert shelf.get(held.url, accept, **{"If-None-Match": etag}).status_code == 304
    same = shelf.get(held.url, accept, Range="bytes=0-9", **{"If-Range": etag})
    assert same.content == held.part10[:10]


def test_head_tells_the_length_alone(shelf, hold):
    """HEAD has the headers of GET, and no body."""
    held = hold("ct")
    answer = shelf.http.head(held.url, headers={"Accept": DICOM})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(held.part10))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/studies/1.2.3.4.5", 404),
        ("/studies/1.2'; DROP TABLE instance;--", 400),
        ("/studies/..%2F..%2Fetc", 404),
        ("/studies/" + "1" * 65, 400),
        ("/studies/%00", 400),
        ("/studies/1.2.3/series/x y/metadata", 400),
        ("/studies/1.2.3/series/1/instances/1/frames/1", 404),
        ("/studies/1.2.3/series/1/instances/1/frames/0", 400),
        ("/studies/1.2.3/series/1/instances/1/frames/a", 400),
        ("/studies/1.2.3/series/1/instances/1/bulkdata/../../x", 404),
        ("/studies/1.2.3/series/1/instances/1/bulkdata/7FE0", 400),
    ],
)
def test_hostile_paths(shelf, path, status):
    """A path that names nothing is 404, one that names no UID is 400; nothing else happens."""
    answer = shelf.get(path)
    assert answer.status_code == status
    if status == 400:
        assert "DROP" not in answer.text


@pytest.mark.parametrize(
    "accept",
    ["application", 'multipart/related; type="', ";;;", "a/b; q=x", "a/b c/d",
     "application/dicom; transfer-syntax=\x7f", "a/b," * 9000],
)  # fmt: skip
def test_a_bad_accept_header_is_told(shelf, hold, accept):
    """An Accept header that breaks the rules is 400, never a failure of ours."""
    answer = shelf.get(hold("ct").url, accept)
    assert answer.status_code == 400


def test_accept_may_stand_in_the_query(shelf, hold):
    """?accept= is as good as the header, and goes first (PS3.18 8.3.3.1)."""
    held = hold("ct")
    answer = shelf.get(f"{held.url}?accept=application/dicom", "text/html")
    assert answer.content == held.part10


def test_only_who_may_retrieve_does(shelf, hold):
    """Without a token 401, with one that may not 403, and not a byte of an object."""
    url = hold("ct").url
    assert shelf.http.get(url, headers={"Authorization": "Bearer no"}).status_code == 401
    other = shelf.http.headers["authorization"] + "x"
    assert shelf.http.get(url, headers={"Authorization": other}).status_code == 403


def test_what_is_asked_for_is_noted(shelf, hold):
    """A retrieval is noted for retention, once for each series in a while."""
    noted = []
    held = hold("report")
    shelf.originals.note_asked, before = noted.append, shelf.originals.note_asked
    try:
        for _ in range(3):
            shelf.get(held.url)
    finally:
        shelf.originals.note_asked = before
    assert len(noted) <= 1
