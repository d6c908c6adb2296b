"""Tell whether a text is a unit of UCUM, by its case-sensitive codes (c/s) and its grammar.

The table holds the units that measurements of images are given in; a unit is made of them with
prefixes, exponents, products, quotients and annotations in braces (UCUM 2 to 4). The few that
PS3.16 writes in another way than UCUM are taken too.
"""

import re
from typing import Final

_METRIC_UNITS: Final = (
    "m g s K C cd rad mol L l Hz N Pa J W A V F Ohm S Wb Cel T H lm lx Bq Gy Sv bar eV u B Ci"
    " R RAD REM G cal meq eq U osm kat sr pc gf dyn erg P St"
)
"""They take prefixes."""
_PLAIN_UNITS: Final = (
    "% [ppth] [ppm] [ppb] [pi] deg ' '' min h d wk mo a mo_j a_j [in_i] [ft_i] [lb_av] [degF]"
    " [iU] [IU] [arb'U] [hnsf'U] [pH] [HPF] [LPF] [diop] [APL'U] [GPL'U] [MPL'U] 10* 10^ st ar"
    " har gon b atm [Ch] att AU [mi_i] [PRU] [wood'U] diop ppm"
)
_SPECIAL_METRIC: Final = frozenset(
    {"m[Hg]", "m[H2O]", "[iU]", "[IU]", "B[V]", "B[mV]", "B[uV]", "B[W]", "B[SPL]"}
)
_PREFIX_LETTERS: Final = "Y Z E P T G M k h da d c m u n p f a z y Ki Mi Gi Ti"
_METRIC: Final = _SPECIAL_METRIC.union(_METRIC_UNITS.split())
_PLAIN: Final = frozenset(_PLAIN_UNITS.split())
_PREFIXES: Final = frozenset(_PREFIX_LETTERS.split())
_ANNOTATION: Final = r"\{[!-z|~ ]{0,60}\}"
_FACTOR: Final = re.compile(
    rf"(?:{_ANNOTATION})?(?:10[+-][0-9]+|[0-9]+|(?P<atom>10[*^]|[^0-9{{}}.()/+-]+?)(?:[+-]?[0-9]+)?)"
    rf"(?:{_ANNOTATION})?|{_ANNOTATION}"
)
_MOST: Final = 64


_SHOWN: Final = {"[hnsf'U]": "HU", "Cel": "°C", "10*": "10^"}
"""What people write in the place of a code."""


def behind(text: str) -> str:
    """Write a unit as it stands behind a number, for people: " mm", " HU", "" for none (1)."""
    words = re.sub(r"[{}]", "", "" if text == "1" else text)
    for code, shown in _SHOWN.items():
        words = words.replace(code, shown)
    return f" {words}" if words else ""


def is_unit(text: str) -> bool:
    """Whether it is a unit: "mm", "mL/min", "/mm2", "[hnsf'U]", "{ratio}", "1"."""
    if not 0 < len(text) <= _MOST or not text.isascii():
        return False
    body = text.removeprefix("/")
    return all(_is_factor(factor) for factor in _split(body))


def _split(text: str) -> list[str]:
    """Part a term at its points, slashes and brackets of order, but for those in braces.

    What stands in () is read as if it stood without: that changes its size, and not whether it
    is a unit.
    """
    parts, depth, order = [""], 0, 0
    for sign in text:
        depth += (sign in "{[") - (sign in "}]")
        if depth == 0 and sign in "()":
            order += 1 if sign == "(" else -1
        elif depth == 0 and sign in "./":
            parts.append("")
        else:
            parts[-1] += sign
        if order < 0:
            break
    return [""] if order else parts


def _is_factor(text: str) -> bool:
    found = _FACTOR.fullmatch(text)
    if found is None:
        return False
    atom = found["atom"]
    return atom is None or _is_atom(atom)


def _is_atom(text: str) -> bool:
    if text in _METRIC or text in _PLAIN:
        return True
    return any(text[:size] in _PREFIXES and text[size:] in _METRIC for size in (1, 2))
