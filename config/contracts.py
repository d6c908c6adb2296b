"""The tables that state a model's contract, in node.toml and in the model's own parameters.

Every key may be absent: what one of the two leaves out the other may say. ai/declared.py lays the
first over the second, and says what is missing then and what does not fit the model's tensors.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, FiniteFloat, ValidationError, model_validator

from config import files
from config import words as plain_words
from config.shapes import Names, Table
from dicom.errors import ConfigFault
from dicom.keywords import tag_for_keyword, vr_of_tag

InputName = Literal["volume", "slices", "stream", "images", "tiles", "spacing", "attribute"]
OutputName = Literal[
    "measurement", "classification", "mask", "boxes", "points", "text", "heatmap", "embedding",
    "refusal",
]  # fmt: skip

_PREPARATION: Final = frozenset(
    {"spacing_mm", "size", "fit", "window", "normalise", "layout", "batch"}
)
_MEASURED: Final = frozenset({"name", "unit", "site", "low", "high", "decimals"})
_INPUT_KEYS: Final[Mapping[str, Collection[str]]] = {
    "spacing": (),
    "attribute": ("keyword",),
}
"""What may stand beside a kind; an image takes everything that prepares one."""
_OUTPUT_KEYS: Final[Mapping[str, Collection[str]]] = {
    "measurement": _MEASURED | {"aggregate"},
    "classification": ("classes", "site", "aggregate", "exclusive"),
    "mask": ("classes", "site"),
    "boxes": ("classes", "site", "limit"),
    "points": ("classes", "site", "limit"),
    "text": ("title",),
    "heatmap": _MEASURED | {"title"},
    "embedding": (),
    "refusal": (),
}
_NUMERIC: Final = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
_CODE_STRING: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _")
"""PS3.5 6.2, CS."""
_TablesT = TypeVar("_TablesT", bound=Table)


def _plain(text: str) -> str:
    if not text or text != text.strip() or not text.isprintable() or "\\" in text:
        raise ValueError("must be printable text without a backslash or spaces around it")
    return text


def _code_string(text: str) -> str:
    if not text or set(text) - _CODE_STRING:
        raise ValueError("is made of capital letters, digits, spaces and underscores, as DICOM's")
    return text


def _numeric(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    if tag is None or vr_of_tag(tag) not in _NUMERIC:
        raise ValueError('must be the keyword of a numeric attribute, such as "KVP"')
    return keyword


def _layout(letters: str) -> str:
    spatial = letters.replace("1", "")
    if set(spatial) - set("nzyxc") or len(set(spatial)) != len(spatial):
        raise ValueError("is made of n, z, y, x and c, each once at most, and of 1")
    if not {"y", "x"} <= set(spatial) or {"n", "z"} <= set(spatial):
        raise ValueError("needs y and x, and either z (a volume) or n (items)")
    return letters


Short = Annotated[str, Field(max_length=16), AfterValidator(_plain)]
Long = Annotated[str, Field(max_length=64), AfterValidator(_plain)]
CodeString = Annotated[Short, AfterValidator(_code_string)]
CodeStrings = Annotated[
    Names, AfterValidator(lambda texts: tuple(_code_string(each) for each in texts))
]
Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(ge=0, le=65_536)]
Distance = Annotated[float, Field(ge=0, le=1000)]


class Coded(Table):
    """A coded concept: a value and a scheme of 16 characters (SH), a meaning of 64 (LO)."""

    value: Short
    scheme: Short
    meaning: Long

    @model_validator(mode="after")
    def _of_its_scheme(self) -> Self:
        from dicom import coding_schemes  # it brings the whole terminology along

        if words := coding_schemes.problem(self.value, self.scheme, self.meaning):
            raise ValueError(words)
        return self


class Wants(Table):
    """What a Series must be before a model is asked about it."""

    modality: CodeString | None = None
    orientation: Literal["axial", "sagittal", "coronal", "any"] | None = None
    min_slices: Annotated[int, Field(ge=1, le=100_000)] | None = None
    max_spacing_mm: Annotated[float, Field(gt=0)] | None = None
    min_thickness_mm: Annotated[float, Field(ge=0)] | None = None
    max_thickness_mm: Annotated[float, Field(gt=0)] | None = None
    contrast: Literal["any", "none", "required"] | None = None
    kvp: tuple[FiniteFloat, FiniteFloat] | None = None
    body_parts: CodeStrings | None = None
    views: CodeStrings | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _ascending("kvp", self.kvp)
        least, most = self.min_thickness_mm, self.max_thickness_mm
        if least is not None and most is not None and least > most:
            raise ValueError("min_thickness_mm is more than max_thickness_mm")
        return self


class Input(Table):
    """What fills an input tensor, and how images are prepared for it."""

    kind: InputName | None = None
    spacing_mm: Annotated[tuple[Distance, ...], Field(min_length=2, max_length=3)] | None = None
    size: Annotated[tuple[Size, ...], Field(min_length=2, max_length=3)] | None = None
    fit: Literal["pad", "stretch"] | None = None
    window: tuple[FiniteFloat, FiniteFloat] | None = None
    normalise: Literal["none", "unit", "symmetric", "zscore"] | None = None
    layout: Annotated[str, Field(max_length=8), AfterValidator(_layout)] | None = None
    batch: Annotated[int, Field(ge=1, le=4096)] | None = None
    keyword: Annotated[str, AfterValidator(_numeric)] | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        _ascending("window", self.window)
        if self.kind is None:
            return self
        _only(self, self.kind, _INPUT_KEYS.get(self.kind, _PREPARATION))
        if self.kind in {"images", "tiles"}:
            for key, axes in (("spacing_mm", self.spacing_mm), ("size", self.size)):
                if axes is not None and len(axes) != 2:
                    raise ValueError(f"{key} is (y, x) for {self.kind}: two numbers")
        if self.kind == "tiles" and self.layout is not None and "c" not in self.layout:
            raise ValueError("tiles are RGB: layout needs the axis c")
        axis = "z" if self.kind == "volume" else "n"
        if self.layout is not None and axis not in self.layout:
            raise ValueError(f"layout needs the axis {axis} for {self.kind}")
        return self


class Class(Table):
    """One class of a classification, or one segment of a mask."""

    name: Coded
    threshold: Share = 0.5
    category: Coded | None = None


class Output(Table):
    """What an output tensor means."""

    kind: OutputName | None = None
    name: Coded | None = None
    unit: Coded | None = None
    site: Coded | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    decimals: Annotated[int, Field(ge=0, le=9)] | None = None
    classes: Annotated[tuple[Class, ...], Field(min_length=1, max_length=255)] | None = None
    title: Coded | None = None
    aggregate: Literal["each", "mean", "max", "sum", "weighted"] | None = None
    exclusive: bool | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low is more than high")
        if self.unit is not None and self.unit.scheme != "UCUM":
            raise ValueError('unit needs the scheme "UCUM"')
        if self.kind is None:
            return self
        _only(self, self.kind, _OUTPUT_KEYS[self.kind])
        if self.kind in {"boxes", "points"} and self.classes and len(self.classes) != 1:
            raise ValueError(f"{self.kind} are of one class: give each its own output")
        if self.kind == "classification" and self.aggregate in {"sum", "weighted"}:
            raise ValueError("probabilities are aggregated by each, mean or max")
        if self.kind != "mask" and any(each.category for each in self.classes or ()):
            raise ValueError("only a mask's classes have a category")
        return self


class Trust(Table):
    """How sure a model is made to say it is."""

    augment: tuple[Literal["flip-x", "flip-y", "flip-z"], ...] | None = None
    conformal: dict[str, Share] | None = None
    interval: dict[str, Annotated[FiniteFloat, Field(ge=0)]] | None = None
    coverage: Annotated[float, Field(gt=0, lt=1)] | None = None


def stated(kind: type[_TablesT], row: object) -> _TablesT:
    """Check one table of a contract, strictly. Raises ConfigFault with every key's fault."""
    try:
        return kind.model_validate_json(json.dumps(row), strict=True)
    except ValidationError as fault:
        problems = plain_words.explain(fault, kind)
        raise ConfigFault([(files.shown(place), said) for place, said in problems]) from fault


def row(table: Table | None) -> dict[str, Any]:
    """Give back what a table states, and nothing that it leaves out."""
    return {} if table is None else table.model_dump(mode="json", exclude_none=True)


def _ascending(key: str, limits: tuple[float, float] | None) -> None:
    if limits is not None and limits[0] >= limits[1]:
        raise ValueError(f"{key} is the lowest and the highest value, in this order")


def _only(table: Table, kind: str, keys: Iterable[str]) -> None:
    allowed = {"kind", *keys}
    for key in sorted(table.model_fields_set - allowed):
        fitting = ", ".join(sorted(allowed - {"kind"})) or "nothing"
        raise ValueError(f"{key} says nothing about {kind}; beside kind there may be {fitting}")
