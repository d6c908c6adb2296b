"""A bucket behind rclone's S3 door on loopback, to which obstore's client for Google speaks.

It takes the XML requests that Google Cloud Storage takes, unsigned, and ignores conditions, which
Google does not: so it stands for the stores that have to be looked into first.
"""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.peers.process import answers, free_port
from examples.peers.process import running as process


@dataclass(frozen=True, slots=True)
class Rclone:
    """A running door with one bucket, which is a folder."""

    endpoint: str
    bucket: str
    folder: Path
    pid: int

    @property
    def service_account(self) -> str:
        """What stands in for a key: an account that needs no sign-in."""
        account = {
            "gcs_base_url": self.endpoint,
            "disable_oauth": True,
            "client_email": "",
            "private_key": "",
            "private_key_id": "",
        }
        return json.dumps(account)


def binary() -> Path:
    """Find `rclone` beside this interpreter or on the PATH."""
    beside = Path(sys.executable).parent / "rclone"
    return beside if beside.exists() else Path(shutil.which("rclone") or beside)


@contextlib.contextmanager
def running(directory: Path, bucket: str = "penumbra") -> Iterator[Rclone]:
    """Serve one bucket on loopback until the block ends; data and log lie in `directory`."""
    port, data = free_port(), directory / "data"
    (data / bucket).mkdir(parents=True)
    command = [
        binary(), "serve", "s3", "--config", directory / "none.conf",
        "--addr", f"127.0.0.1:{port}", data,
    ]  # fmt: skip
    with process(
        command, ready=lambda: answers(port), log=directory / "rclone.log", timeout_s=30
    ) as child:
        yield Rclone(f"http://127.0.0.1:{port}", bucket, data / bucket, child.pid)
