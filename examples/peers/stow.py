"""Requests of STOW-RS and their answers, written and read by hand (PS3.18 10.5)."""

import io
import json
from typing import Any

import httpx
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
TYPE = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}


def image(uid: str, study: str = "1.2.3", syntax: str = EXPLICIT, **more: Any) -> bytes:
    """Write a Part 10 file."""
    one = Dataset()
    one.SOPClassUID, one.SOPInstanceUID = CT, uid
    one.StudyInstanceUID, one.SeriesInstanceUID = study, "1.2.3.4"
    one.PatientName, one.PixelData = "KANARIENVOGEL^HANS", bytes(1000)
    one["PixelData"].VR = "OW"
    for keyword, value in more.items():
        setattr(one, keyword, value)
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = syntax
    written = io.BytesIO()
    dcmwrite(written, one, enforce_file_format=True)
    return written.getvalue()


def body(*parts: bytes, kind: str = "application/dicom", end: bool = True) -> bytes:
    """Write a multipart body with boundary b."""
    opened = f"\r\n--b\r\nContent-Type: {kind}\r\n\r\n".encode()
    return b"".join(opened + part for part in parts) + (b"\r\n--b--\r\n" if end else b"")


def told(answer: httpx.Response) -> tuple[list[str], dict[str, int], int]:
    """Give what was stored, the reasons of what failed, and how many failed without a name."""
    module = answer.json()

    def items(tag: str) -> list[Any]:
        return module.get(tag, {}).get("Value", [])

    def value(item: Any, tag: str) -> Any:
        return item[tag]["Value"][0]

    stored = [value(one, "00081155") for one in items("00081199")]
    failed = {value(one, "00081155"): value(one, "00081197") for one in items("00081198")}
    return stored, failed, len(items("0008119A"))


def described(*objects: bytes | str, **bulk: Any) -> tuple[bytes, dict[str, str]]:
    """Write a body of metadata, and of bulk data by name: its bytes, or its type and its bytes."""
    told = []
    for each in objects:
        if isinstance(each, str):
            told.append({"00080018": {"vr": "UI", "Value": [each]}})
            continue
        one = dcmread(io.BytesIO(each)).to_json_dict()
        one["7FE00010"] = {"vr": "OW", "BulkDataURI": "http://host/bulk/pixels"}
        told.append(one)
    parts = [b"\r\n--b\r\nContent-Type: application/dicom+json\r\n\r\n" + json.dumps(told).encode()]
    for name, content in bulk.items():
        plain = "application/octet-stream", content
        kind, data = content if isinstance(content, tuple) else plain
        lines = f"\r\n--b\r\nContent-Type: {kind}\r\nContent-Location: {name}\r\n\r\n"
        parts.append(lines.encode() + data)
    kind = 'multipart/related; type="application/dicom+json"; boundary=b'
    return b"".join(parts) + b"\r\n--b--", {"Content-Type": kind}
