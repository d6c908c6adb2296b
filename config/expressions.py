"""The home of CEL, the Common Expression Language: a rule's `expr`, compiled and asked.

In an expression a DICOM keyword is a variable, and so is each of config.conditions.ROUTE_KEYS.
Text is "" where the attribute is absent, a number is null, and what has several values (PS3.6 VM)
is a list. Text is told from numbers when it is compiled. A number is of CEL's type dyn, so that 2
can be compared with 1.5 and with null; what it is compared with is seen when a Series comes.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from config.conditions import NUMBER_VRS, ROUTE_KEYS, Attributes, Undecided, Unreadable, vr_of
from config.words import suggestion
from dicom.keywords import tag_for_keyword, tags, vm_of_tag

_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_PLACE: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): ([^\n]*)")
_UNKNOWN: Final = re.compile(r"undeclared reference to '(\w+)'")
_OVERLOAD: Final = re.compile(r"found no matching overload for '_?(\S+?)_?' applied to '(.*)'")
_NOISE: Final = re.compile(r" expecting \{.*| \(in container ''\)| \[[A-Z_]+\]$")
_WHOLE_VRS: Final = NUMBER_VRS - {"DS", "FD", "FL"}
_INT64: Final = 1 << 63
_TYPES: Final = {"STRING": "text", "DYN": "a number", "LIST": "a list"}


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    text: str
    names: tuple[str, ...]
    """The keywords and other variables that it asks for."""
    _kinds: tuple[tuple[bool, bool, bool], ...] = field(repr=False)
    _program: Any = field(repr=False)

    def holds(self, attributes: Attributes) -> bool:
        """Whether it is true of a Series. Raises Undecided when nobody can say."""
        data = {
            name: _value(attributes(name), *kind)
            for name, kind in zip(self.names, self._kinds, strict=True)
        }
        try:
            answer = self._program.eval(data=data)
            value = answer.value()
        except (RuntimeError, TypeError, ValueError) as fault:
            words = f"expr cannot be evaluated ({type(fault).__name__})"
            raise Undecided(words, str(fault)) from None
        if value is True or value is False:
            return value
        raise Undecided("expr ends in an error, such as a comparison with null", str(value))


def compile_expression(text: str) -> Expression:
    """Compile an expression; the same text gives the same answers for ever.

    Raises ValueError with what is wrong with it, and where.
    """
    import cel_expr_python.cel as cel  # noqa: PLR0402  (mypy sees no module in it otherwise)

    # Whatever looks like a keyword is declared, also within a string: it does no harm there.
    names = tuple(dict.fromkeys(name for name in _NAME.findall(text) if _is_known(name)))
    kinds = tuple(_kind(name) for name in names)
    types = {
        name: _type(cel.Type, is_number=is_number, is_list=is_list)
        for name, (is_number, _, is_list) in zip(names, kinds, strict=True)
    }
    try:
        program = cel.NewEnv(variables=types).compile(text)
        result = program.return_type().name()
    except (RuntimeError, TypeError, ValueError) as fault:
        raise ValueError(_words(str(fault))) from None
    if result != "BOOL":
        kind = result.partition("<")[0]
        raise ValueError(f"gives {_TYPES.get(kind, kind)}, not true or false")
    return Expression(text, names, kinds, program)


def _is_known(name: str) -> bool:
    try:
        vr_of(name)
    except Unreadable:
        return False
    return True


def _kind(name: str) -> tuple[bool, bool, bool]:
    """Say whether a variable is a number, a whole one, and a list."""
    vr, tag = vr_of(name), tag_for_keyword(name)
    return vr in NUMBER_VRS, vr in _WHOLE_VRS, tag is not None and vm_of_tag(tag) != "1"


def _type(types: Any, *, is_number: bool, is_list: bool) -> Any:
    # DYN lets 2 be compared with 2.0, and a number be null.
    one = types.DYN if is_number else types.STRING
    return types.List(one) if is_list else one


def _value(texts: Sequence[str], is_number: bool, is_whole: bool, is_list: bool) -> Any:  # noqa: FBT001  (one of _kind's triples)
    values: Sequence[Any] = [text.strip() for text in texts]
    if is_number:
        read = [_number(value, is_whole=is_whole) for value in values]
        values = [value for value in read if value is not None]
        return values if is_list else (values[0] if values else None)
    return values if is_list else "\\".join(values)


def _number(text: str, *, is_whole: bool) -> float | None:
    try:
        number = int(text) if is_whole else float(text)
        return number if abs(number) < _INT64 else float(number)
    except (ValueError, OverflowError):  # what a sender writes there need be no number
        return None


def _words(said: str) -> str:
    found = _PLACE.search(said)
    if found is None:
        return _NOISE.sub("", said.strip().splitlines()[0] if said.strip() else "is no CEL")
    line, column, words = found.groups()
    place = f"column {column}" if line == "1" else f"line {line}, column {column}"
    if unknown := _UNKNOWN.search(words):
        words = _unknown(unknown[1])
    elif overload := _OVERLOAD.search(words):
        words = f"{overload[1]} cannot be applied to {overload[2]}"
    return f"{place}: {_NOISE.sub('', words)}"


def _unknown(name: str) -> str:
    if tag_for_keyword(name) is not None:
        return f"{name!r} has no text to compare"
    near = suggestion(name, [*ROUTE_KEYS, *tags()]) or "take one from PS3.6"
    return f"{name!r} is no DICOM keyword and no function of CEL; {near}"
