"""The shape of the [worklist] table: where entries of the modality worklist come from."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from config.shapes import Port, Seconds, Table


class Hl7(Table):
    """A port on which a RIS sends orders by HL7 v2 over MLLP."""

    host: str = "127.0.0.1"
    port: Port = 2575
    addresses: Annotated[tuple[str, ...], Field(min_length=1)]
    """Where orders may come from; connections from anywhere else are closed at once."""
    charset: str = "ASCII"
    """The character set of messages that name none in MSH-18, as HL7 table 0211 writes it."""
    largest_kb: Annotated[int, Field(ge=4, le=65_536)] = 1024
    message_s: Seconds = 30
    """Within which a message that has begun must be there."""
    max_connections: Annotated[int, Field(ge=1, le=1000)] = 64


class Worklist(Table):
    """What scanners are told that is scheduled for them."""

    folder: Path | None = None
    """A folder with a file for each entry, as DCMTK's wlmscpfs has them, or as JSON."""
    poll_s: Seconds = 5
    keep_days: Annotated[float, Field(gt=0, le=3650)] = 7
    """How long entries of REST and HL7 are kept behind their day."""
    stations: dict[str, str] = Field(default_factory=dict)
    """By modality: the AE title of the station, for orders that name none."""
    hl7: Hl7 | None = None
