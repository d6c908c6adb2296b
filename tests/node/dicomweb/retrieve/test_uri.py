"""WADO-URI: one object by the query of a URL, as older systems ask (PS3.18 Chapter 9)."""

import io

import pydicom
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def ask(shelf, hold):
    """Ask for a real object; parameters in the query."""

    def give(name, **query):
        ds = hold(name).dataset
        base = {"requestType": "WADO", "studyUID": ds.StudyInstanceUID,
                "seriesUID": ds.SeriesInstanceUID, "objectUID": ds.SOPInstanceUID}  # fmt: skip
        wanted = {name: value for name, value in (base | query).items() if value is not None}
        url = str(shelf.http.base_url.copy_with(path="/wado"))
        return shelf.http.get(url, params=wanted)

    return give


def test_an_object(ask, hold):
    """contentType=application/dicom gives the object in Explicit VR Little Endian."""
    answer = ask("mr-rle", contentType="application/dicom")
    given = pydicom.dcmread(io.BytesIO(answer.content))
    assert given.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (given.pixel_array == hold("mr-rle").dataset.pixel_array).all()
    stored = ask("mr-rle", contentType="application/dicom", transferSyntax="1.2.840.10008.1.2.5")
    assert stored.content == hold("mr-rle").part10


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ct", "image/jpeg"), ("multi-frame", "application/dicom"), ("report", "application/dicom")],
)
def test_what_is_given_without_a_content_type(ask, name, expected):
    """One frame is a JPEG by default, all else DICOM (PS3.18 9.1.2)."""
    answer = ask(name)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(expected)


def test_a_picture_as_asked(ask):
    """Rows, columns, region, window and frame shape the picture."""
    answer = ask("ct", contentType="image/png", rows="32", region="0,0,1,0.5",
                 windowCenter="40", windowWidth="400")  # fmt: skip
    assert Image.open(io.BytesIO(answer.content)).size == (64, 32)
    one, two = (ask("multi-frame", contentType="image/png", frameNumber=n) for n in ("1", "9"))
    assert one.content != two.content


@pytest.mark.parametrize(
    ("name", "query", "status"),
    [
        ("ct", {"requestType": None}, 400),
        ("ct", {"requestType": "QIDO"}, 400),
        ("ct", {"studyUID": None}, 400),
        ("ct", {"objectUID": "1.2' OR 1=1"}, 400),
        ("ct", {"objectUID": "1.2.3"}, 404),
        ("ct", {"anonymize": "yes"}, 400),
        ("ct", {"contentType": "video/mpeg"}, 406),
        ("ct", {"frameNumber": "2"}, 404),
        ("ct", {"frameNumber": "0"}, 400),
        ("ct", {"rows": "0"}, 400),
        ("ct", {"rows": "100000"}, 400),
        ("ct", {"region": "0,0,2,2"}, 400),
        ("ct", {"windowCenter": "1"}, 400),
        ("ct", {"imageQuality": "-1"}, 400),
        ("ct", {"contentType": "application/dicom", "transferSyntax": "x"}, 400),
        ("report", {"contentType": "image/jpeg"}, 406),
    ],
)
def test_what_is_not_served(ask, name, query, status):
    """What is missing, wrong or not served is told by its status and in words."""
    answer = ask(name, **query)
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert "OR 1=1" not in answer.text
