"""Real objects to deliver, and every kind of place to deliver them to."""

import contextlib
import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from config.destinations import (
    DicomDestination,
    FolderDestination,
    ObjectStoreDestination,
    StowDestination,
)
from config.model import Peer
from config.shapes import Secret
from dicom.meta import read_meta
from dicom.uid import derive
from examples.peers import azurite, fault_proxy, folder_pacs, orthanc, rclone, seaweed
from examples.peers.process import free_port
from node.sending import describe
from storage.destinations.base import Destination, Outgoing, Receipt
from storage.destinations.table import open_destination

NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID")


def read_secret(secret: Secret) -> bytes:
    assert secret.env is not None
    return os.environb[secret.env.encode()]


def open_one(settings, peers=None) -> Destination:
    return open_destination(
        "here", settings, peers=peers or {}, ae_title="PENUMBRA", read_secret=read_secret
    )


@dataclass(frozen=True, slots=True)
class Place:
    """A kind of destination with a real server behind it."""

    name: str
    settings: Callable[[], object]
    peers: dict[str, Peer]
    held: Callable[[Receipt], bytes]
    """Fetch what the place holds, past the destination's own code."""
    knows_bytes: bool = True
    """Whether it keeps whole files and can tell one content from another."""
    rewrites: bool = False
    """Whether it encodes objects anew to keep them, as Orthanc does with some."""
    proof: str = "read-back"
    """What its receipts say of an object that came through at once."""

    def open(self) -> Destination:
        return open_one(self.settings(), self.peers)


def _real_objects() -> list[Outgoing]:
    """One small real object per transfer syntax, from pydicom's own test files."""
    found: dict[str, Outgoing] = {}
    for path in sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm")):
        file = describe(path)
        if file is None or file.transfer_syntax_uid in found or path.stat().st_size > 1 << 20:
            continue
        head = dcmread(path, stop_before_pixels=True)
        if not all(head.get(keyword) for keyword in NEEDED):
            continue
        if file.sop_instance_uid in {one.sop_instance_uid for one in found.values()}:
            continue
        content = path.read_bytes()
        if (len(content) - read_meta(content).dataset_offset) % 2 and "dfl" not in path.name:
            continue  # no valid encoding: truncated on purpose
        found[file.transfer_syntax_uid] = Outgoing(
            file.sop_class_uid, file.sop_instance_uid, str(head.SeriesInstanceUID),
            str(head.StudyInstanceUID), file.transfer_syntax_uid, (content,),
            hashlib.sha256(content).hexdigest(),
        )  # fmt: skip
    return list(found.values())


@pytest.fixture(scope="session")
def real_objects() -> list[Outgoing]:
    found = _real_objects()
    assert len(found) >= 9
    return found


def small(
    number: int = 0, *, study: str = "study", comment: str = "", pixels: int = 64
) -> Outgoing:
    """Make a small valid CT object; another comment makes other bytes under the same UIDs."""
    image = Dataset()
    image.SOPClassUID = CTImageStorage
    image.SOPInstanceUID = derive(study, str(number))
    image.StudyInstanceUID, image.SeriesInstanceUID = derive(study), derive(study, "series")
    image.PatientName, image.PatientID, image.Modality = "NOBODY^AT ALL", "N1", "CT"
    image.ImageComments = comment
    image.PixelData = bytes([number % 256]) * pixels
    image["PixelData"].VR = "OB"
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    content = buffer.getvalue()
    return Outgoing(
        str(image.SOPClassUID), str(image.SOPInstanceUID), str(image.SeriesInstanceUID),
        str(image.StudyInstanceUID), str(ExplicitVRLittleEndian),
        (content[:200], memoryview(content)[200:]), hashlib.sha256(content).hexdigest(),
    )  # fmt: skip


@pytest.fixture(scope="session")
def make() -> Callable[..., Outgoing]:
    return small


@pytest.fixture(scope="session")
def make_destination() -> Callable[..., Destination]:
    """Open a destination of its table: settings, and peers by AE title."""
    return open_one


@pytest.fixture(scope="session")
def s3(tmp_path_factory) -> Iterator[seaweed.Seaweed]:
    with (
        pytest.MonkeyPatch.context() as patch,
        seaweed.running(tmp_path_factory.mktemp("seaweed")) as facts,
    ):
        patch.setenv("S3_ACCESS", facts.access_key)
        patch.setenv("S3_SECRET", facts.secret_key)
        patch.setenv("S3_WRONG", "not-the-secret")
        yield facts


@pytest.fixture(scope="session")
def s3_settings(s3) -> ObjectStoreDestination:
    return ObjectStoreDestination(
        kind="object-store", url=f"s3://{s3.bucket}/some/prefix", endpoint=s3.endpoint,
        access_key=Secret(env="S3_ACCESS"), secret_key=Secret(env="S3_SECRET"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def azure(tmp_path_factory) -> Iterator[azurite.Azurite]:
    if words := azurite.missing():
        pytest.skip(words)
    with (
        pytest.MonkeyPatch.context() as patch,
        azurite.running(tmp_path_factory.mktemp("azurite")) as facts,
    ):
        patch.setenv("AZURE_ACCOUNT", facts.account)
        patch.setenv("AZURE_KEY", facts.account_key)
        yield facts


@pytest.fixture(scope="session")
def azure_settings(azure) -> ObjectStoreDestination:
    return ObjectStoreDestination(
        kind="object-store", url=f"az://{azure.container}/some/prefix", endpoint=azure.endpoint,
        access_key=Secret(env="AZURE_ACCOUNT"), secret_key=Secret(env="AZURE_KEY"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def gcs(tmp_path_factory) -> Iterator[rclone.Rclone]:
    with (
        pytest.MonkeyPatch.context() as patch,
        rclone.running(tmp_path_factory.mktemp("rclone")) as facts,
    ):
        patch.setenv("GCS_ACCOUNT", facts.service_account)
        yield facts


@pytest.fixture(scope="session")
def gcs_settings(gcs) -> ObjectStoreDestination:
    return ObjectStoreDestination(
        kind="object-store", url=f"gs://{gcs.bucket}/some/prefix", endpoint=gcs.endpoint,
        secret_key=Secret(env="GCS_ACCOUNT"),
    )  # fmt: skip


@pytest.fixture(scope="session")
def pacs_of(tmp_path_factory) -> Iterator[Callable[[str], object]]:
    """Start each PACS once; skip where its Debian package is missing."""
    kinds = {
        "orthanc": (orthanc.running, orthanc.binary(), "orthanc"),
        "stow": (
            partial(orthanc.running, web=True), orthanc.binary() and orthanc.web_plugin(),
            "orthanc-dicomweb",
        ),
        "storescp": (folder_pacs.running_storescp, shutil.which("storescp"), "dcmtk"),
        "pynetdicom": (folder_pacs.running_pynetdicom, "always", ""),
    }  # fmt: skip
    started: dict[str, object] = {}
    with contextlib.ExitStack() as stack:

        def start(kind: str) -> object:
            run, binary, package = kinds[kind]
            if binary is None:
                pytest.skip(f"{kind} is not installed (Debian: apt-get install {package})")
            if kind not in started:
                started[kind] = stack.enter_context(run(tmp_path_factory.mktemp(kind)))
            return started[kind]

        yield start


def _pacs_place(kind: str, pacs) -> Place:
    settings = DicomDestination(kind="dicom", peer=pacs.aet, timeout_s=10)
    peers = {pacs.aet: Peer(host=pacs.host, port=pacs.port)}

    def held(receipt: Receipt) -> bytes:
        return pacs.fetch(receipt.sop_instance_uid)

    if kind == "stow":
        web = StowDestination(kind="stow", url=pacs.web_url, timeout_s=10, read_back=True)
        return Place(kind, lambda: web, {}, held, proof="STOW-RS 200, read-back")
    return Place(
        kind, lambda: settings, peers, held, knows_bytes=False, rewrites=kind == "orthanc",
        proof="status 0x0000",
    )  # fmt: skip


@pytest.fixture
def proxy(s3) -> Iterator[fault_proxy.FaultProxy]:
    """A proxy in front of the real S3 that writes down what passes, and does harm."""
    with fault_proxy.running(s3.endpoint) as running:
        yield running


@pytest.fixture
def proxied(proxy, s3, s3_settings, tmp_path) -> ObjectStoreDestination:
    """The real S3 behind the proxy, under a prefix of this test's own."""
    url = f"s3://{s3.bucket}/{tmp_path.name}"
    return s3_settings.model_copy(update={"endpoint": proxy.endpoint, "url": url})


def _cloud_place(kind: str, request, tmp_path) -> Place:
    """A bucket behind a real server; each test has a prefix of its own."""
    server = request.getfixturevalue(kind)
    settings = request.getfixturevalue(f"{kind}_settings")
    url = settings.url.replace("some/prefix", tmp_path.name)
    root = url.removesuffix(tmp_path.name)

    def held(receipt: Receipt) -> bytes:
        key = receipt.location.removeprefix(root)
        if kind == "gcs":
            return (server.folder / key).read_bytes()
        return bytes(server.store().get(key).bytes())

    return Place(kind, lambda: settings.model_copy(update={"url": url}), {}, held)


@pytest.fixture(
    params=["folder", "file", "s3", "azure", "gcs", "orthanc", "stow", "storescp", "pynetdicom"]
)
def place(request, tmp_path) -> Place:
    """Every kind of destination in turn."""
    kind = request.param
    if kind in {"orthanc", "stow", "storescp", "pynetdicom"}:
        return _pacs_place(kind, request.getfixturevalue("pacs_of")(kind))
    if kind in {"s3", "azure", "gcs"}:
        return _cloud_place(kind, request, tmp_path)
    if kind == "file":
        settings = ObjectStoreDestination(kind="object-store", url=f"file://{tmp_path}/a/b")
        return Place(
            kind, lambda: settings, {},
            lambda receipt: Path(receipt.location.removeprefix("file://")).read_bytes(),
        )  # fmt: skip
    folder = FolderDestination(kind="folder", path=tmp_path / "a" / "b")
    return Place(
        kind, lambda: folder, {}, lambda receipt: (folder.path / receipt.location).read_bytes()
    )


@pytest.fixture(params=["s3", "dicom", "stow"])
def dead(request, tmp_path) -> Destination:
    """A destination whose server is not there."""
    port = free_port()
    if request.param == "s3":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ANY", "thing")
            return open_one(
                ObjectStoreDestination(
                    kind="object-store", url="s3://bucket/x", endpoint=f"http://127.0.0.1:{port}",
                    access_key=Secret(env="ANY"), secret_key=Secret(env="ANY"),
                )
            )  # fmt: skip
    if request.param == "stow":
        url = f"http://127.0.0.1:{port}/dicom-web"
        return open_one(StowDestination(kind="stow", url=url, timeout_s=3))
    settings = DicomDestination(kind="dicom", peer="GONE", timeout_s=3)
    return open_one(settings, {"GONE": Peer(host="127.0.0.1", port=port)})
