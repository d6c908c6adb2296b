"""A real MQTT broker: Debian's mosquitto on loopback, open to everybody."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from examples.peers.process import answers, debian, free_port
from examples.peers.process import running as process

CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
log_dest stdout
log_type all
"""
"""Without persistence the broker writes no file, so it may drop root as it likes to."""


@dataclass(frozen=True, slots=True)
class Mosquitto:
    """A running broker."""

    port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """As `[mqtt] url` wants it."""
        return f"mqtt://127.0.0.1:{self.port}"


def find() -> str | None:
    """Find the broker, also where Debian puts it and a user's PATH does not look."""
    return debian("mosquitto")


@contextlib.contextmanager
def running(directory: Path, *, port: int | None = None) -> Iterator[Mosquitto]:
    """Run a broker until the block ends; config and log lie in `directory`.

    A broker that is started again on the same port stands for one that was restarted. Raises
    FileNotFoundError when mosquitto is not installed.
    """
    command = find()
    if command is None:
        raise FileNotFoundError("mosquitto is not installed (Debian package mosquitto)")
    port = port or free_port()
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "mosquitto.conf"
    config.write_text(CONFIG.format(port=port))
    log = directory / "mosquitto.log"
    with process([command, "-c", config], ready=lambda: answers(port), log=log) as child:
        yield Mosquitto(port, log, child)
