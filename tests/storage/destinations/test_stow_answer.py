"""What servers say in their answers to STOW-RS, and multipart bodies of any cut."""

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from dicom.store_answer import Meaning
from examples.peers.web_pacs import result
from storage.destinations.stow_answer import (
    Verdict,
    boundary_of,
    first_part_digest,
    instances,
    multipart,
    multipart_bytes,
    verdicts,
)

XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">
 <DicomAttribute tag="00081198" vr="SQ" keyword="FailedSOPSequence"><Item number="1">
  <DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2.3</Value></DicomAttribute>
  <DicomAttribute tag="00081197" vr="US"><Value number="1">49152</Value></DicomAttribute>
 </Item></DicomAttribute>
 <DicomAttribute tag="00081199" vr="SQ" keyword="ReferencedSOPSequence"><Item number="1">
  <DicomAttribute tag="00081155" vr="UI"><Value number="1">1.2.4</Value></DicomAttribute>
  <DicomAttribute tag="00081196" vr="US"><Value number="1">45056</Value></DicomAttribute>
 </Item></DicomAttribute>
</NativeDicomModel>"""


def test_xml_says_the_same_as_json():
    """A server that answers in the Native DICOM Model is understood as well."""
    assert verdicts("application/dicom+xml; charset=utf-8", XML) == {
        "1.2.3": Verdict(Meaning.REFUSED, "not stored: 0xC000 cannot understand"),
        "1.2.4": Verdict(Meaning.WARNED, "stored with a warning: 0xB000 coercion of data elements"),
    }
    bomb = XML.replace(b"<Native", b'<!DOCTYPE x [<!ENTITY a "b">]><Native', 1)
    assert verdicts("application/dicom+xml", bomb) == {}


def test_what_stands_in_both_lists_is_not_stored():
    """A server that contradicts itself about an object has not stored it."""
    _, _, body = result(["1.2"], {"1.2": 0xC000})
    assert verdicts("application/dicom+json", body)["1.2"].meaning is Meaning.REFUSED


@given(st.text(), st.binary() | st.recursive(
    st.none() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(
        st.sampled_from(["00081199", "00081198", "00081155", "00081197", "Value", "x"]), one)
).map(lambda found: json.dumps(found).encode()))  # fmt: skip
def test_any_answer_is_read_or_passed_over(kind, body):
    """Whatever a server says, reading it ends without a fault, and stores nothing by mistake."""
    for content_type in (kind, "application/dicom+json", "application/dicom+xml"):
        found = verdicts(content_type, body)
        assert all(isinstance(uid, str) for uid in found)
    assert isinstance(instances(body), list)


@given(st.binary(max_size=300), st.integers(1, 40), st.booleans())
def test_the_first_part_is_digested_however_it_is_cut(content, step, whole):
    """A multipart body in pieces of any length gives its first part's digest; a torn one, none."""
    boundary = "b0undary"
    if b"--b0undary" in content:
        return
    body = b"--b0undary\r\nA: b\r\n\r\n" + content + b"\r\n--b0undary--\r\n"
    body = body if whole else body[: -len(b"--b0undary--\r\n") - 1]
    pieces = (body[at : at + step] for at in range(0, len(body), step))
    expected = hashlib.sha256(content).hexdigest() if whole else ""
    assert first_part_digest(pieces, boundary) == expected


def test_the_length_is_that_of_what_is_sent(make):
    """Content-Length is counted beforehand, and right, for any number of objects."""
    objects = [make(number) for number in range(3)]
    for count in range(4):
        whole = b"".join(multipart(objects[:count], "abc"))
        assert multipart_bytes(objects[:count], "abc") == len(whole)
    kind = 'multipart/related; boundary="a b"; type=x'
    assert (boundary_of(kind), boundary_of("multipart/related")) == ("a b", "")
