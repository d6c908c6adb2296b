"""Say in an administrator's words what is wrong with the shape of a config file."""

import difflib
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.files import Place
from config.shapes import Secret

_SECRET: Final = (
    "a secret is never written here but named:"  # noqa: S105  (words about secrets)
    ' { env = "NAME" } or { file = "path" }'
)
_PATTERNS: Final = {
    r"^(s3|gs|az|file)://": "must begin with s3://, gs://, az:// or file://",
    r"^mqtts?://": "must begin with mqtt:// or mqtts://",
    r"^https?://": "must begin with http:// or https://",
    r"^postgres(ql)?://": "must begin with postgresql://",
    r"^sha256:[0-9a-f]{64}$": "must be sha256: and 64 digits from 0 to f; run `penumbra token new`",
}
_TRUTH: Final = "must be true or false"
_WORDS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "missing": lambda _: "is missing",
    "int_type": lambda _: "must be a whole number",
    "int_parsing": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "finite_number": lambda _: "must be a finite number",
    "bool_type": lambda _: _TRUTH,
    "string_type": lambda _: "must be text in quotes",
    "path_type": lambda _: "must be a path in quotes",
    "tuple_type": lambda _: "must be a list in brackets",
    "dict_type": lambda _: "must be a table",
    "model_type": lambda _: "must be a table",
    "model_attributes_type": lambda _: "must be a table",
    "too_short": lambda context: f"needs {context['min_length']} or more values",
    "too_long": lambda context: f"takes {context['max_length']} values at most",
    "string_too_long": lambda context: f"takes {context['max_length']} characters at most",
    "less_than": lambda context: f"must be less than {context['lt']:g}",
    "greater_than": lambda context: f"must be more than {context['gt']:g}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']:g}",
    "less_than_equal": lambda context: f"must be at most {context['le']:g}",
    "literal_error": lambda context: f"must be {context['expected']}",
    "string_pattern_mismatch": lambda context: _PATTERNS.get(
        context["pattern"], "has not the form that is asked for"
    ),
    "value_error": lambda context: str(context["error"]),
    "union_tag_not_found": lambda _: "is missing",
    "union_tag_invalid": lambda context: f"must be one of {context['expected_tags']}",
}


def suggestion(wrong: str, right: Iterable[str]) -> str:
    """Ask "did you mean ...?" where a known name is near; otherwise ""."""
    near = difflib.get_close_matches(wrong, list(right), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def unknown(wrong: str, known: Collection[str], kind: str) -> str:
    """Say that a name is not known, with the nearest one or all that there are."""
    if not known:
        return f"there is no {kind} {wrong!r}: none is defined"
    near = suggestion(wrong, known) or "known: " + ", ".join(sorted(known)[:12])
    return f"there is no {kind} {wrong!r}; {near}"


def explain(fault: ValidationError, model: type[BaseModel]) -> list[tuple[Place, str]]:
    """Give each error of pydantic's about a model as a place and words.

    No value of the file is repeated, since it may be a secret in the wrong place.
    """
    found: dict[Place, str] = {}
    for error in fault.errors(include_url=False, include_input=False):
        place, words = _one(error, model)
        found.setdefault(place, words)
    # Of a key that is a truth or a table, what is wrong within the table says more.
    return [
        (place, words)
        for place, words in found.items()
        if words != _TRUTH or not any(place == other[: len(place)] != other for other in found)
    ]


def _one(error: ErrorDetails, model: type[BaseModel]) -> tuple[Place, str]:
    place, kind, choices = _locate(error["loc"], model)
    context = error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        key = str(place[-1])
        near = suggestion(key, choices) or "known keys: " + ", ".join(sorted(choices))
        return place, f"is no known key; {near}"
    if kind is Secret and error["type"] != "value_error":
        return place, f"is missing; {_SECRET}" if error["type"] == "missing" else _SECRET
    if error["type"].startswith("union_tag"):
        place = (*place, str(context["discriminator"]).strip("'"))
    say = _WORDS.get(error["type"])
    return place, say(context) if say else error["msg"][:1].lower() + error["msg"][1:]


def _locate(loc: Place, model: type[BaseModel]) -> tuple[Place, Any, Collection[str]]:
    """Follow an error's location through a model.

    Returns the place as the file shows it (without pydantic's names of a union's members), the
    type that was wanted there, and the keys of the last table on the way.
    """
    kind: Any = model
    place: list[str | int] = []
    keys: Collection[str] = ()
    for part in loc:
        kind = _bare(kind)
        if _is_tagged(kind):
            kind = _member(kind, str(part))
            continue
        if _is_union(kind):
            kind = next((each for each in get_args(kind) if each.__name__ == part), None)
            continue
        place.append(part)
        kind, keys = _step(kind, part, keys)
    return tuple(place), _bare(kind), keys


def _step(kind: Any, part: str | int, keys: Collection[str]) -> tuple[Any, Collection[str]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {each.alias or name: each for name, each in kind.model_fields.items()}
        inner = fields.get(str(part))
        if inner is None:
            return None, tuple(fields)
        if inner.discriminator:
            return Annotated[inner.annotation, inner], tuple(fields)
        return inner.annotation, tuple(fields)
    arguments = get_args(kind)
    if get_origin(kind) is dict:
        return arguments[1], keys
    if get_origin(kind) is tuple:
        return arguments[0], keys
    return None, keys


def _bare(kind: Any) -> Any:
    """Take constraints and None off a type; a tagged union stays as it is."""
    while True:
        if get_origin(kind) is Annotated and not _is_tagged(kind):
            kind = get_args(kind)[0]
            continue
        members = [each for each in get_args(kind) if each is not types.NoneType]
        if _is_union(kind) and len(members) == 1:
            kind = members[0]
            continue
        return kind


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in {Union, types.UnionType}


def _is_tagged(kind: Any) -> bool:
    return get_origin(kind) is Annotated and any(
        getattr(each, "discriminator", None) for each in get_args(kind)[1:]
    )


def _member(kind: Any, tag: str) -> Any:
    """Find the member of a tagged union by its tag."""
    for member in get_args(get_args(kind)[0]):
        annotation = member.model_fields["kind"].annotation
        if get_origin(annotation) is Literal and tag in get_args(annotation):
            return member
    return None
