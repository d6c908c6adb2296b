"""Record what real senders say in an association, for tests/fuzz/golden.

    .venv/bin/python -m tests.fuzz.record FOLDER

Each sender stores synthetic objects with pynetdicom's own SCP; what it says on the way is written
down. Needs Debian's dcmtk and orthanc.
"""

import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.presentation import AllStoragePresentationContexts, VerificationPresentationContexts

from dicom.context import TRANSFER_SYNTAXES
from dicom.store_scu import RemoteAe, StoreScu
from examples.peers import orthanc
from tests.fuzz.golden import Golden, save, split

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
JPEG = "1.2.840.10008.1.2.4.50"
MAX_PDU = 4096
PREFIX = "1.2.826.0.1.3680043.10.1.9"


def an_object(number: int, sop_class: str, syntax: str, rows: int) -> Dataset:
    """A made-up image: nobody's."""
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = sop_class, f"{PREFIX}.1.{number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = f"{PREFIX}.2", f"{PREFIX}.3"
    image.StudyDate = image.StudyTime = image.AccessionNumber = image.StudyID = ""
    image.PatientID, image.PatientName = "SYNTHETIC", "SYNTHETIC"
    image.PatientBirthDate = image.PatientSex = image.ReferringPhysicianName = ""
    image.Modality = "CT" if sop_class == CT else "MR"
    image.SeriesNumber, image.InstanceNumber = 1, number
    image.Rows = image.Columns = rows
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit, image.PixelRepresentation, image.SamplesPerPixel = 7, 0, 1
    image.PhotometricInterpretation = "MONOCHROME2"
    pixels = bytes(n % 251 for n in range(rows * rows))
    image.PixelData = encapsulate([pixels]) if syntax == JPEG else pixels
    image["PixelData"].VR = "OB"
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = sop_class
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = syntax
    return image


class Tap:
    """A port that passes one connection on to another port, and keeps what goes through."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self.said, self.heard = bytearray(), bytearray()
        self._thread = threading.Thread(target=self._pass)
        self._thread.start()

    def _pass(self) -> None:
        address = ("127.0.0.1", self._to)
        with self._door, self._door.accept()[0] as peer, socket.create_connection(address) as node:
            back = threading.Thread(target=pour, args=(node, peer, self.heard))
            back.start()
            pour(peer, node, self.said)
            back.join()

    def golden(self, name: str, words: str) -> Golden:
        """Wait for the end, and give what was said."""
        self._thread.join(20)
        asked, accepted = A_ASSOCIATE_RQ(), A_ASSOCIATE_AC()
        asked.decode(next(split(bytes(self.said))))
        accepted.decode(next(split(bytes(self.heard))))
        syntax_of = {
            one.presentation_context_id: str(one.transfer_syntax)
            for one in accepted.presentation_context
            if one.result == 0
        }
        contexts = {
            one.presentation_context_id: (
                str(one.abstract_syntax),
                syntax_of[one.presentation_context_id],
            )
            for one in asked.presentation_context
            if one.presentation_context_id in syntax_of
        }
        return Golden(name, words, contexts, list(split(bytes(self.said))))


def pour(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    """Pass bytes on until the source ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            kept += data
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def scp() -> Iterator[int]:
    """pynetdicom's own storage SCP, which takes PDUs of 4 KB so that objects are cut."""
    entity = ApplicationEntity("PENUMBRA")
    entity.maximum_pdu_size = MAX_PDU
    for one in AllStoragePresentationContexts:
        entity.add_supported_context(one.abstract_syntax, list(TRANSFER_SYNTAXES))
    for one in VerificationPresentationContexts:
        entity.add_supported_context(one.abstract_syntax)
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0)]
    )
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


Sender = Callable[[int, list[Path]], str]


def dcmtk(*command: str) -> Sender:
    def send(port: int, files: list[Path]) -> str:
        titles = ["-aet", "SCANNER", "-aec", "PENUMBRA", "127.0.0.1", str(port)]
        subprocess.run([*command, *titles, *map(str, files)], check=True, timeout=60)
        said = subprocess.run([command[0], "--version"], capture_output=True, text=True, check=True)
        return f"DCMTK {' '.join(command)} {said.stdout.split()[2]}"

    return send


def pynetdicom_scu(port: int, files: list[Path]) -> str:
    import pydicom
    import pynetdicom

    entity = ApplicationEntity("SCANNER")
    images = [pydicom.dcmread(path) for path in files]
    entity.add_requested_context("1.2.840.10008.1.1")
    for image in images:
        entity.add_requested_context(image.SOPClassUID, image.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title="PENUMBRA")
    assert association.send_c_echo().Status == 0
    for image in images:
        assert association.send_c_store(image).Status == 0
    association.release()
    return f"pynetdicom {pynetdicom.__version__}, with a C-ECHO first"


def orthanc_store(port: int, files: list[Path]) -> str:
    with tempfile.TemporaryDirectory() as folder, orthanc.running(Path(folder)) as pacs:

        def ask(path: str, body: bytes, method: str = "POST") -> None:
            url = f"http://127.0.0.1:{pacs.http_port}{path}"
            with urllib.request.urlopen(urllib.request.Request(url, body, method=method)) as answer:
                answer.read()

        for path in files:
            ask("/instances", path.read_bytes())
        ask("/modalities/node", f'["PENUMBRA", "127.0.0.1", {port}]'.encode(), "PUT")
        names = ", ".join(f'"{name}"' for name in pacs.ask("/instances"))
        ask("/modalities/node/store", f"[{names}]".encode())
        return f"Orthanc {pacs.ask('/system')['Version']}"


def our_scu(port: int, files: list[Path]) -> str:
    import pydicom

    scu = StoreScu(RemoteAe("127.0.0.1", port, "PENUMBRA", "SCANNER"))
    for path in files:
        meta = pydicom.filereader.read_file_meta_info(path)
        scu.store(
            [path.read_bytes()],
            sop_class_uid=meta.MediaStorageSOPClassUID,
            sop_instance_uid=meta.MediaStorageSOPInstanceUID,
            transfer_syntax_uid=meta.TransferSyntaxUID,
        )
    scu.close()
    return "Penumbra's own SCU (dicom/store_scu.py)"


PLAIN = [(1, CT, EXPLICIT, 16), (2, MR, EXPLICIT, 72)]
SENDERS: dict[str, tuple[Sender, list[tuple[int, str, str, int]]]] = {
    "storescu": (dcmtk("storescu", "-R"), [(1, CT, IMPLICIT, 16), (2, MR, IMPLICIT, 72)]),
    "dcmsend": (dcmtk("dcmsend", "-nh", "-dn"), [(1, CT, JPEG, 17), (2, CT, JPEG, 71)]),
    "pynetdicom": (pynetdicom_scu, PLAIN),
    "orthanc": (orthanc_store, PLAIN),
    "penumbra": (our_scu, [(1, CT, EXPLICIT, 16), (2, CT, EXPLICIT, 72)]),
}


def main(folder: Path) -> None:
    """Record every sender."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (send, objects) in SENDERS.items():
        with tempfile.TemporaryDirectory() as scratch, scp() as port:
            files = []
            for one in objects:
                files.append(Path(scratch) / f"{one[0]}.dcm")
                an_object(*one).save_as(files[-1], enforce_file_format=True)
            tap = Tap(port)
            words = send(tap.port, files)
            save(tap.golden(name, words), folder)
            print(name, words)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
