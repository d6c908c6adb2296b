"""Say which person runs this process, for what is kept on record."""

import os
import pwd
from pathlib import Path
from typing import Final

_LOGIN: Final = Path("/proc/self/loginuid")
_NOBODY: Final = (1 << 32) - 1


def running_this() -> str:
    """Name the user of this process, and behind sudo who logged in."""
    user = _name(os.getuid())
    login = _login()
    return user if login in {"", user} else f"{user} (logged in as {login})"


def _login() -> str:
    """Say who logged in to the session, which sudo and su do not change; "" where unknown."""
    try:
        number = int(_LOGIN.read_text("ascii"))
    except (OSError, ValueError):
        return ""
    return "" if number == _NOBODY else _name(number)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
