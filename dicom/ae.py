"""Application Entity titles (PS3.5 6.2, value representation AE)."""

import re

_AE = re.compile(r"[\x20-\x5B\x5D-\x7E]{1,16}")


def is_valid(title: str) -> bool:
    r"""Whether a title has 1 to 16 printable ASCII characters, no backslash, and is not blank."""
    return _AE.fullmatch(title) is not None and title.strip() == title and bool(title)
