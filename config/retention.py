"""The shape of [retention]: what may leave the spool, and when."""

from typing import Annotated

from pydantic import Field

from config.shapes import Seconds, Table

Days = Annotated[float, Field(ge=0, le=36_500)]


class Retention(Table):
    """When proven objects leave the spool; as it stands by default, nothing ever does."""

    keep_days: Days | None = None
    """Since an object was delivered everywhere; None: age alone lets nothing go."""
    keep_free_mb: Annotated[int, Field(ge=1)] | None = None
    """Free space below which proven objects leave, those first that nobody wanted for longest."""
    prove_again: bool = True
    """Whether destinations are asked again before an object leaves."""
    proof_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 24
    """How old an answer may be."""
    take_at_word: tuple[str, ...] = ()
    """Destinations that are not asked again: what they said at delivery is enough."""
    unsent_days: Days | None = None
    """Since an object came that nothing sends anywhere; None: it stays."""
    every_s: Seconds = 60
    """How often the node looks what may leave."""

    @property
    def is_on(self) -> bool:
        """Whether anything may leave at all."""
        return (self.keep_days, self.keep_free_mb, self.unsent_days) != (None, None, None)
