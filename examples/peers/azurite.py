"""A real Azure Blob Storage on loopback: npm's azurite, which deploy/setup-azurite.sh brings."""

import base64
import contextlib
import email.utils
import hashlib
import hmac
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from obstore.store import AzureStore

from examples.peers.process import answers, free_port
from examples.peers.process import running as process

ROOT = Path(__file__).parents[2]
SERVER = ROOT / ".azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
ACCOUNT = "penumbra"
ACCOUNT_KEY = base64.b64encode(b"of a server on loopback, for tests alone").decode()
_VERSION = "2021-12-02"


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running Blob Storage with one container."""

    endpoint: str
    container: str
    account: str
    account_key: str
    pid: int

    def store(self) -> AzureStore:
        """Open the container with a client of our own, beside the node's."""
        return AzureStore(
            self.container,
            endpoint=self.endpoint,
            account_name=self.account,
            account_key=self.account_key,
            client_options={"allow_http": True},
        )


def missing() -> str:
    """Say what is not there to run it; "" where all is."""
    if not SERVER.exists():
        return "azurite is not installed (npm: deploy/setup-azurite.sh)"
    return "" if shutil.which("node") else "node is not installed (Debian: apt-get install nodejs)"


def _make_container(endpoint: str, container: str) -> None:
    """Create a container: a signed request, since obstore has none for it."""
    date = email.utils.formatdate(usegmt=True)
    empty = "\n" * 12
    signed = (
        f"PUT{empty}x-ms-date:{date}\nx-ms-version:{_VERSION}\n"
        f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
    )
    mac = hmac.new(base64.b64decode(ACCOUNT_KEY), signed.encode(), hashlib.sha256).digest()
    request = urllib.request.Request(
        f"{endpoint}/{container}?restype=container",
        method="PUT",
        headers={
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(mac).decode()}",
            "Content-Length": "0",
        },
    )
    with urllib.request.urlopen(request, timeout=10):
        pass


@contextlib.contextmanager
def running(directory: Path, container: str = "penumbra") -> Iterator[Azurite]:
    """Serve one container on loopback until the block ends; data and log lie in `directory`."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    command = [
        "node", SERVER, "--silent", "--blobHost", "127.0.0.1", "--blobPort", str(port),
        "--location", directory / "data", "--skipApiVersionCheck", "--disableTelemetry",
    ]  # fmt: skip
    env = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{ACCOUNT_KEY}"}
    with process(
        command,
        ready=lambda: answers(port),
        log=directory / "azurite.log",
        env=env,
        timeout_s=60,
    ) as child:
        _make_container(endpoint, container)
        yield Azurite(endpoint, container, ACCOUNT, ACCOUNT_KEY, child.pid)
