"""The shape of the [lakes.NAME] tables: what is exported for analysts, to where, and when."""

from typing import Annotated, Literal

from pydantic import Field

from config.shapes import Table

LakeTable = Literal["metadata", "lineage", "events"]
TABLES: tuple[LakeTable, ...] = ("metadata", "lineage", "events")
EVERY_FORM = r"^[1-9][0-9]{0,4}(m|h|d)$"
AT_FORM = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"


class Lake(Table):
    """An export; the table's key is its name, in paths and in the names of its tables."""

    destination: str
    """The name of a destination of kind object-store or folder."""
    identity: bool = False
    """Whether patients may be named in it."""
    profile: str | None = None
    """The profile under which everything leaves, where they may not."""
    at: Annotated[str, Field(pattern=AT_FORM)] | None = None
    """The time of day, on the machine's clock, at which it is exported."""
    every: Annotated[str, Field(pattern=EVERY_FORM)] | None = None
    """How often, as "30m", "6h" or "1d", beside that or instead; without both, on demand alone."""
    tables: tuple[LakeTable, ...] = ()
    """Which tables; all of them where it names none."""
    rows: Annotated[int, Field(ge=10, le=100_000)] = 10_000
    """So many Instances at most go into one step, and so into the memory of a worker."""

    @property
    def exported(self) -> tuple[LakeTable, ...]:
        """The tables that are exported, in the order in which that is done."""
        return tuple(one for one in TABLES if not self.tables or one in self.tables)
