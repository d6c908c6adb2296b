"""Read secrets from where the config file says they are: the environment, or a file."""

import os
import stat
from pathlib import Path
from typing import Final

from config.shapes import Secret
from dicom.errors import ConfigFault

_OTHERS: Final = stat.S_IRWXO
_MOST_BYTES: Final = 1 << 20


def read(secret: Secret) -> bytes:
    """Read a secret, without the newline that editors put at its end.

    Raises ConfigFault, which names the fix and never the value, when it is not there, empty, or
    in a file that everybody may read.
    """
    words = problem(secret)
    if words:
        raise ConfigFault([("secret", words)])
    if secret.env is not None:
        return os.environb[os.fsencode(secret.env)]
    assert secret.file is not None  # a Secret has exactly one source
    try:
        return _without_newline(secret.file.read_bytes())
    except OSError as fault:
        raise ConfigFault(
            [("secret", f"{secret.file} cannot be read ({fault.strerror})")]
        ) from fault


def problem(secret: Secret, folder: Path = Path()) -> str:
    """Say why a secret cannot be used, and what mends it; "" when it can.

    A relative file is looked for in `folder`. The name of an environment variable is not
    repeated: whoever mistakes it for the place of the value shall not find that in a log.
    """
    if secret.env is not None:
        return _problem_of_variable(secret.env)
    assert secret.file is not None  # a Secret has exactly one source
    return _problem_of_file(folder / secret.file)


def _problem_of_variable(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        return "is no name of an environment variable"
    if name not in os.environ:
        return (
            "names an environment variable that is not set;"
            " export it, or put it into the service's EnvironmentFile"
        )
    return "" if os.environ[name] else "names an environment variable that is empty"


def _problem_of_file(file: Path) -> str:
    try:
        facts = file.stat()
        if not stat.S_ISREG(facts.st_mode):
            return f"{file} is no file"
        if facts.st_mode & _OTHERS:
            return f"everybody on this machine may open {file}; run: chmod 600 {file}"
        with file.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except ValueError:
        return "is no path"
    except OSError as fault:
        return f"{file} cannot be read ({fault.strerror})"
    if len(content) > _MOST_BYTES:
        return f"{file} is too long for a secret"
    return "" if _without_newline(content) else f"{file} is empty"


def _without_newline(content: bytes) -> bytes:
    return content.removesuffix(b"\n").removesuffix(b"\r")
