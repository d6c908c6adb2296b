"""The shape of the [[rules]] tables."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from config.shapes import Names, Table


class Rule(Table):
    """What happens to a Series once it is complete."""

    name: str
    when: dict[str, Any] = Field(default_factory=dict)
    """Conditions by keyword; config/conditions.py reads what stands beside each."""
    expr: str | None = None
    """A condition in CEL that must hold beside `when`."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    """Rules with more of it are asked first; among equals, as they stand in the file."""
    stop: bool = False
    """Whether no further rule is asked once this one matches."""
    profile: str | None = None
    reidentify: str | None = None
    """A reversible profile under which its objects were de-identified: they get their identity
    back."""
    hold_if_invalid: bool | None = None
    """The short form of `validation`: true for "hold", false for "record"."""
    validation: Literal["off", "record", "hold"] = "record"
    """Whether objects are checked before they leave, and what a fault does to them."""
    per: Literal["series", "study"] = "series"
    """Whether it is asked of a Series once that is complete, or once its whole Study is."""
    during: Names = ()
    """Hours of the week at which its jobs are done; config/windows.py reads them."""
    send: tuple[str, ...] = ()
    infer: tuple[str, ...] = ()
    results_to: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _long_form(self) -> Self:
        if self.hold_if_invalid is None:
            return self
        long = "hold" if self.hold_if_invalid else "record"
        return self.model_copy(update={"validation": long})
