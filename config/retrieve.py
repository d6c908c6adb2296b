"""The shape of the [retrieve] table: how much of C-MOVE and C-GET goes on at once."""

from typing import Annotated

from pydantic import Field

from config.shapes import Seconds, Table


class Retrieve(Table):
    """Objects that peers ask for by C-MOVE and C-GET."""

    at_once: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Retrievals at one time, of all peers together; one more is refused."""
    timeout_s: Seconds = 30
    """How long the receiver may take for each answer."""
