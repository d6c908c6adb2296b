"""The shape of the [commitment] table: what the node vouches for when a peer asks it to."""

from typing import Literal

from config.shapes import Seconds, Table

When = Literal["delivered", "received"]


class Commitment(Table):
    """When an Instance counts as committed, and how long a request may wait."""

    when: When = "delivered"
    """Once every destination that its rules require holds it, or once it is filed here."""
    grace_s: Seconds = 60
    """So long after the request, an Instance that is not known may still come."""
    wait_s: Seconds = 86_400
    """So long after the request, what is not delivered yet is reported as failed."""
