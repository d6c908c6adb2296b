"""SeaweedFS as a real S3, from its PyPI wheel."""

import contextlib
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from obstore.store import S3Store

from examples.peers.process import free_port
from examples.peers.process import running as process

ACCESS_KEY = "penumbra-access"
_SERVERS = ("master", "volume", "filer", "admin")
SECRET_KEY = "penumbra-secret"


@dataclass(frozen=True, slots=True)
class Seaweed:
    """A running S3."""

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str
    pid: int

    def store(self, prefix: str | None = None) -> S3Store:
        """Open the bucket with a client of our own, beside the node's."""
        return S3Store(
            self.bucket,
            prefix=prefix,
            endpoint=self.endpoint,
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": timedelta(seconds=20)},
        )


def binary() -> Path:
    """Find `weed` beside this interpreter or on the PATH."""
    beside = Path(sys.executable).parent / "weed"
    return beside if beside.exists() else Path(shutil.which("weed") or beside)


def _takes_objects(facts: Seaweed) -> bool:
    """Whether a PUT goes through: the ports answer a little before the volumes do."""
    try:
        with urllib.request.urlopen(facts.endpoint, timeout=1):
            pass
    except urllib.error.HTTPError:
        pass  # it answers, and refuses: nobody signed in
    except OSError:
        return False
    try:
        store = facts.store()
        store.put("ready", b"yes", use_multipart=False)
        store.delete("ready")
    except Exception:  # noqa: BLE001  (whatever it is, the server is not ready)
        return False
    return True


@contextlib.contextmanager
def running(
    directory: Path, bucket: str = "penumbra", *, port: int | None = None
) -> Iterator[Seaweed]:
    """Serve one bucket on loopback until the block ends; data and log lie in `directory`."""
    s3 = port or free_port()
    data = directory / "data"
    data.mkdir(parents=True, exist_ok=True)
    ports = [f"-{server}.port{kind}={free_port()}" for server in _SERVERS for kind in ("", ".grpc")]
    command = [
        binary(), "-logtostderr=true", "mini", f"-dir={data}", "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1", f"-bucket={bucket}", f"-s3.port={s3}",
        "-s3.autoCreateBucket=false", "-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.port.grpc={free_port()}", "-master.telemetry=false", *ports,
    ]  # fmt: skip
    env = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    facts = Seaweed(f"http://127.0.0.1:{s3}", bucket, ACCESS_KEY, SECRET_KEY, 0)
    with process(
        command,
        ready=lambda: _takes_objects(facts),
        log=directory / "seaweed.log",
        env=env,
        timeout_s=60,
        grace_s=0.5,  # what it has answered outlives kill -9 too
    ) as child:
        yield Seaweed(facts.endpoint, bucket, ACCESS_KEY, SECRET_KEY, child.pid)
