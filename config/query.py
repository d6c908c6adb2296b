"""The shape of the [query] table: how much one question may cost."""

from typing import Annotated

from pydantic import Field

from config.shapes import Seconds, Table


class Query(Table):
    """What C-FIND answers at most."""

    max_matches: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """Of one question; who asks for more hears so many, and then that there are more."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 4
    """Questions that are worked on at a time; the others wait, and storing does not."""
    timeout_s: Seconds = 60
    """How long one answer may take, and hold a state of the index: searched, told and read."""
