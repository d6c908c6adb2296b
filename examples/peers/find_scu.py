"""Ask a C-FIND SCP with real clients: pynetdicom, and DCMTK's findscu."""

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.config import IGNORE
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_STUDY_ONLY = "1.2.840.10008.5.1.4.1.2.3.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
FINDSCU = shutil.which("findscu")


def written(dataset: Dataset) -> bytes:
    """The Part 10 bytes of a dataset."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    dataset.file_meta.MediaStorageSOPClassUID = CT
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def identifier(level: str = "STUDY", **keys: Any) -> Dataset:
    """Build an identifier; its values are not checked."""
    dataset = Dataset()
    if level:
        dataset.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None
        dataset[tag] = DataElement(tag, dictionary_VR(tag), value, validation_mode=IGNORE)
    return dataset


def ask(
    port: int,
    identifier: Dataset,
    model: str = STUDY_ROOT,
    calling: str = "SCANNER",
    *,
    options: bytes = b"",
    transfer_syntax: str = "",
) -> tuple[Dataset, list[Dataset]]:
    """Ask with pynetdicom; gives the last status and the identifiers of the pending ones.

    `options` are negotiated for the model (PS3.4 C.5.1.1.1).
    """
    ae = ApplicationEntity(calling)
    ae.add_requested_context(model, transfer_syntax or None)
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = UID(model)
    extended.service_class_application_information = options
    association = ae.associate(
        "127.0.0.1", port, ae_title="PENUMBRA", ext_neg=[extended] if options else None
    )
    assert association.is_established
    found = list(association.send_c_find(identifier, model))
    association.release()
    return found[-1][0], [one for _, one in found if one is not None]


def findscu(port: int, folder: Path, asked: Dataset, model: str = "-S") -> list[Dataset]:
    """Ask with DCMTK's findscu, an identifier from a file; gives what it wrote down."""
    folder.mkdir(exist_ok=True)
    asked.SOPInstanceUID = "1.2"
    asked.SOPClassUID = CT
    (folder / "query.dcm").write_bytes(written(asked))
    subprocess.run(
        [FINDSCU, model, "-aet", "SCANNER", "-aec", "PENUMBRA", "-X",
         "-od", folder, "127.0.0.1", str(port), folder / "query.dcm"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return [dcmread(path, force=True) for path in sorted(folder.glob("rsp*.dcm"))]
