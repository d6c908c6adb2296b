"""A node's HTTP port over a real spool, ledger and index, with real objects in every encoding."""

import contextlib
import io
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from starlette.applications import Starlette

from config.api import Token
from dicom import part10
from dicom.entity import Arrival, Instance
from dicom.meta import read_meta
from dicom.selection import Selection
from node.originals import Originals
from node.transcoding import Transcoding
from node.web.dicomweb.darkroom import Darkroom
from node.web.dicomweb.retrieving import wado_routes
from node.web.server import Server
from node.web.tokens import Tokens, digest_of
from storage.index.database import Index
from storage.ledger.arriving import ReadingHere
from storage.ledger.follow import Follower
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

SECRET = "pnb_" + "r" * 43
BEARER = {"Authorization": f"Bearer {SECRET}"}

FILES = {
    "ct": "CT_small.dcm",
    "mr": "MR_small.dcm",
    "mr-implicit": "MR_small_implicit.dcm",
    "mr-big-endian": "MR_small_bigendian.dcm",
    "mr-rle": "MR_small_RLE.dcm",
    "jpeg-baseline": "SC_rgb_jpeg_dcmtk.dcm",
    "jpeg-extended": "JPEG-lossy.dcm",
    "jpeg-lossless": "SC_rgb_jpeg_gdcm.dcm",
    "jpeg-ls": "emri_small_jpeg_ls_lossless.dcm",
    "jpeg-2000": "JPEG2000.dcm",
    "jpeg-2000-lossless": "emri_small_jpeg_2k_lossless.dcm",
    "multi-frame": "emri_small.dcm",
    "multi-frame-big-endian": "emri_small_big_endian.dcm",
    "multi-frame-rle": "emri_small_RLE.dcm",
    "palette": "OBXXXX1A.dcm",
    "segmentation": "liver.dcm",
    "rgb-planar": "SC_rgb_small_odd.dcm",
    "deflated": "image_dfl.dcm",
    "report": "reportsi.dcm",
    "dose": "rtdose.dcm",
    "offset-table": "color3d_jpeg_baseline.dcm",
}


@dataclass(frozen=True)
class Held:
    """One object as the node holds it."""

    path: Path
    part10: bytes
    dataset: Dataset
    instance: Instance

    @property
    def url(self) -> str:
        """Its path below /dicom-web."""
        ds = self.dataset
        return (
            f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
            f"/instances/{ds.SOPInstanceUID}"
        )

    @property
    def syntax(self) -> str:
        return str(self.instance.arrival.transfer_syntax_uid)


class Shelf:
    """A spool with what stands before it, up to the HTTP port."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.spool = Spool.open(data_dir / "spool", segment_bytes=1 << 28, reserve_bytes=0)
        self.ledger = Ledger.open(data_dir)
        self.index = Index.open(data_dir / "index.duckdb")
        self.reader = SpoolReader(self.spool.root)
        self.follower = Follower(
            self.spool, self.reader, self.ledger.intake, self.index, ReadingHere(self.reader)
        )
        self.originals = Originals(self.index, self.reader, self.ledger.holdings, time.time)
        self.transcoding = Transcoding()
        token = Token.model_validate({"digest": digest_of(SECRET), "may": ["retrieve"]})
        other = Token.model_validate({"digest": digest_of(SECRET + "x"), "may": ["query"]})
        tokens = Tokens({"viewer": token, "other": other})
        self.darkroom = Darkroom()
        routes = wado_routes(
            tokens, self.originals, self.transcoding, self.index, darkroom=self.darkroom
        )
        self.server = Server.on_port(Starlette(routes=routes), "127.0.0.1", 0)
        self.server.start()
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.server.port}/dicom-web", headers=BEARER, timeout=30
        )

    def receive(self, dataset: bytes, syntax: str, sop_class: str, uid: str) -> Instance:
        """Take an encoded dataset in, and index it."""
        told = Arrival(sop_class, uid, syntax, "CT1", "PENUMBRA", "a1", "h", 10.0)
        with self.spool.begin(told) as recording:
            recording.write(part10.file_meta(told))
            recording.write(dataset)
            recording.commit()
        while self.follower.step() is not None:
            pass
        while self.follower.catch_up_index() or self.follower.fill_heads():
            pass
        return self.index.instances(Selection(sop_instance_uids=(uid,)))[0].instance

    def hold(self, name: str, variant: int = 0) -> Held:
        """Take a real object in, as it is but for the last digits of its SOP Instance UID."""
        path = Path(get_testdata_file(FILES[name]))
        raw = path.read_bytes()
        meta = read_meta(raw)
        dataset = raw[meta.dataset_offset :]
        old = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        new = old[:-2] + f"{variant + 10}"
        if old.encode() in dataset:  # not where it is deflated
            dataset = dataset.replace(old.encode(), new.encode())
        else:
            new = old
        instance = self.receive(dataset, meta.transfer_syntax_uid, meta.sop_class_uid, new)
        whole = self.reader.view(instance.location).tobytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = pydicom.dcmread(io.BytesIO(whole))
        return Held(path, whole, parsed, instance)

    def get(self, url: str, accept: str = "*/*", **headers: str) -> httpx.Response:
        """GET below /dicom-web."""
        return self.http.get(url, headers={"Accept": accept, **headers})

    @staticmethod
    def parts(answer: httpx.Response) -> list[tuple[dict[str, str], bytes]]:
        """Split a multipart/related body: the headers and the bytes of each part."""
        kind = answer.headers["content-type"]
        assert kind.startswith("multipart/related;"), answer.text
        boundary = kind.partition("boundary=")[2].encode()
        *parts, last = answer.content.split(b"\r\n--" + boundary)
        assert last == b"--\r\n"
        found = []
        for part in parts[1:]:
            head, _, body = part.partition(b"\r\n\r\n")
            lines = [line.split(": ", 1) for line in head.decode().strip().split("\r\n")]
            found.append(({name.lower(): value for name, value in lines}, body))
        return found

    def connect(self) -> socket.socket:
        """Connect to the port, with a small window, so that little is sent ahead."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(20)
        made.connect(("127.0.0.1", self.server.port))
        return made

    def ask(self, url: str, accept: str) -> socket.socket:
        """Send a request and read nothing."""
        made = self.connect()
        made.sendall(
            f"GET /dicom-web{url} HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n"
            f"Authorization: Bearer {SECRET}\r\n\r\n".encode()
        )
        return made

    def close(self) -> None:
        self.http.close()
        self.server.stop()
        self.darkroom.close()
        self.transcoding.close()
        self.originals.close()
        self.index.close()
        self.ledger.close()
        self.spool.close()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """An empty node's HTTP port."""
    with contextlib.closing(Shelf(tmp_path_factory.mktemp("shelf"))) as made:
        yield made


@pytest.fixture(scope="module")
def hold(shelf: Shelf) -> Callable[[str], Held]:
    """Give a real object by its name in FILES, taken in when it is first asked for."""
    held: dict[str, Held] = {}

    def give(name: str) -> Held:
        if name not in held:
            held[name] = shelf.hold(name, list(FILES).index(name))
        return held[name]

    return give
