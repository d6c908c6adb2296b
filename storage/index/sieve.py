"""Say which tables and columns a question reads, or refuse it: by what DuckDB's own parser found.

Whatever is not known to be harmless is refused: a form of SQL that is not listed, a table that is
not offered, a function in the place of a table that is not listed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dicom.errors import CannotUnderstand, NotAuthorised

Tree = Any
"""What json_serialize_sql gives: dicts, lists and values."""

_FORMS: Final = frozenset(
    {
        "SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE",
        "BASE_TABLE", "TABLE_FUNCTION", "SUBQUERY", "JOIN", "EMPTY", "EMPTY_FROM",
        "EXPRESSION_LIST",
        "COLUMN_REF", "FUNCTION", "STAR", "CASE_EXPR", "CAST", "BETWEEN", "COLLATE", "LAMBDA",
        "LAMBDA_REF", "POSITIONAL_REFERENCE", "GROUPING_FUNCTION", "STRUCT_EXTRACT", "TYPE",
        "ASCENDING", "DESCENDING",
    }
)  # fmt: skip
_FAMILIES: Final = (
    "COMPARE_", "CONJUNCTION_", "OPERATOR_", "VALUE_", "WINDOW_", "ORDER_", "LIMIT_", "DISTINCT_",
    "ARRAY_",
)  # fmt: skip
_TYPE_FORMS: Final = "_TYPE_INFO"
_TABLE_FUNCTIONS: Final = frozenset({"range", "generate_series", "unnest", "json_each"})
_FUNCTIONS_REFUSED: Final = frozenset(
    {
        "getenv", "current_setting", "getvariable", "nextval", "currval", "write_log",
        "current_query", "txid_current", "json_execute_serialized_sql", "json_serialize_plan",
        "query", "query_table", "read_text", "read_blob",
    }
)  # fmt: skip
"""They tell of the machine, or hide a question in a text."""
_NO_SELECT: Final = "Only SELECT"
"""How the parser begins to say that a statement is of another kind."""
_ONE_SELECT: Final = (
    "one SELECT statement is answered here, and nothing else; GET /api/v1/sql lists tables and"
    " columns"
)
_MOST_NODES: Final = 200_000


@dataclass(slots=True)
class Reads:
    """What a question reads."""

    tables: dict[str, list[str]] = field(default_factory=dict)
    """Columns by the table's name; of each at least one."""
    parameters: set[str] = field(default_factory=set)
    once: bool = False
    """Whether it is one table, read once from its beginning: it need not be kept then."""


def reads(tree: Tree, offered: Mapping[str, Sequence[str]]) -> Reads:
    """Say what the one statement of a tree reads of what is offered.

    A name that stands anywhere counts as read; with `*` every column does. Raises NotAuthorised
    for a table or function that is not offered, CannotUnderstand for any other form.
    """
    fault = str(tree.get("error_message", ""))
    if len(tree.get("statements", ())) != 1 and (not fault or fault.startswith(_NO_SELECT)):
        raise CannotUnderstand(_ONE_SELECT)
    if tree.get("error"):
        raise CannotUnderstand(fault[:1000] or "no SQL")
    nodes = list(_nodes(tree["statements"]))
    ours = {name.lower(): name for name in offered}
    named = _ctes(nodes)
    found = Reads()
    tables = [_checked(node, ours, named) for node in nodes]
    words = {text.lower() for node in nodes for text in _texts(node)}
    whole = _reads_all(nodes)
    for table in filter(None, tables):
        columns = [one for one in offered[table] if whole or one.lower() in words]
        found.tables[table] = columns or [_cheapest(offered[table])]
    read = [node for node in nodes if node.get("type") == "BASE_TABLE"]
    found.once = len(read) == 1 and not named
    found.parameters = {
        str(node.get("identifier", "")) for node in nodes if node.get("type") == "VALUE_PARAMETER"
    }
    return found


def _cheapest(columns: Sequence[str]) -> str:
    """Give a column to count rows by: one that is not computed."""
    return next((one for one in columns if not one.endswith("_key")), columns[0])


def _nodes(tree: Tree) -> Iterator[dict[str, Any]]:
    waiting, count = [tree], 0
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            count += 1
            if count > _MOST_NODES:
                raise CannotUnderstand("the question has too many parts")
            yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _ctes(nodes: Sequence[Mapping[str, Any]]) -> set[str]:
    named: set[str] = set()
    for node in nodes:
        for name in (node.get("cte_name"), node.get("ctename")):
            if isinstance(name, str):
                named.add(name.lower())
        ctes = node.get("cte_map")
        if isinstance(ctes, dict):
            named |= {str(one.get("key", "")).lower() for one in ctes.get("map", ())}
    return named


def _checked(node: Mapping[str, Any], ours: Mapping[str, str], named: set[str]) -> str:
    """Give the table of ours that a node names, "" where it names none, or refuse it."""
    form = node.get("type")
    if form == "SHOW_REF":  # DESCRIBE and SHOW
        raise CannotUnderstand(_ONE_SELECT)
    if isinstance(form, str) and not _is_known(form):
        raise CannotUnderstand(f"this form of SQL is not answered here ({form.lower()})")
    name = node.get("function_name")
    if isinstance(name, str) and name.lower() in _FUNCTIONS_REFUSED:
        raise NotAuthorised(f"the function {name.lower()} is not offered here")
    if form == "TABLE_FUNCTION":
        return _no_function(node)
    if form == "BASE_TABLE":
        return _table(node, ours, named)
    return ""


def _is_known(form: str) -> bool:
    return form in _FORMS or form.startswith(_FAMILIES) or form.endswith(_TYPE_FORMS)


def _no_function(node: Mapping[str, Any]) -> str:
    called = node.get("function")
    name = called.get("function_name") if isinstance(called, dict) else None
    if not isinstance(name, str) or name.lower() not in _TABLE_FUNCTIONS:
        raise NotAuthorised("a function in the place of a table is not offered here")
    return ""


def _table(node: Mapping[str, Any], ours: Mapping[str, str], named: set[str]) -> str:
    name = str(node.get("table_name", "")).lower()
    if node.get("schema_name") or node.get("catalog_name") or node.get("at_clause"):
        raise NotAuthorised("name a table alone, without database or schema")
    if name in ours:
        return ours[name]
    if name not in named:
        raise NotAuthorised(
            "a table is asked for that is not offered to this token: GET /api/v1/sql lists those"
            " that are"
        )
    return ""


def _texts(node: Mapping[str, Any]) -> Iterator[str]:
    for value in node.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (one for one in value if isinstance(one, str))


def _reads_all(nodes: Sequence[Mapping[str, Any]]) -> bool:
    """Whether columns are read without a name: `*`, COLUMNS, NATURAL JOIN, a row as a value."""
    tables = [node for node in nodes if node.get("type") == "BASE_TABLE"]
    rows = {str(one.get(key, "")).lower() for one in tables for key in ("alias", "table_name")}
    for node in nodes:
        if node.get("type") == "STAR" or node.get("ref_type") == "NATURAL":
            return True
        names = node.get("column_names") if node.get("type") == "COLUMN_REF" else None
        if isinstance(names, list) and len(names) == 1 and str(names[0]).lower() in rows:
            return True
    return False
