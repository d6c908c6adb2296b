"""SQL over HTTP: questions and saved reports, answered as what their token may see.

`may = ["sql"]` asks about tables without identifiers, "identified-sql" beside it about all.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from node.sql_desk import Wanted
from node.web import asked
from node.web.endpoint import Abilities, Endpoint
from node.web.guard import Caller
from node.web.sql_door import SqlDoor, role_of


class SqlWanted(BaseModel):
    """The body of POST /sql."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sql: Annotated[str, Field(min_length=1, max_length=100_000)] | None = None
    report: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The name of a saved report; either it or `sql`."""
    params: Annotated[dict[str, str | int | float], Field(max_length=100)] = Field(
        default_factory=dict
    )
    """Values of $name in the text, or of a report's parameters."""
    format: Literal["json", "lines", "csv", "parquet"] = "json"
    max_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 1000
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30

    @model_validator(mode="after")
    def _one_of_both(self) -> "SqlWanted":
        if (self.sql is None) == (self.report is None):
            raise ValueError("give either sql or report")
        return self

    def wanted(self) -> Wanted:
        """Say it in the words of the desk."""
        values = {name: str(value) for name, value in self.params.items()}
        return Wanted(self.sql or "", self.report or "", values, self.format, self.max_rows,
                      self.timeout_s)  # fmt: skip


async def _ask(request: Request, abilities: Abilities, caller: Caller) -> Response:
    door = _door(abilities)
    wanted = SqlWanted.model_validate_json(await asked.body(request)).wanted()
    answer = await door.ask(wanted, caller, request)
    return door.response(answer, wanted.form, wanted.report or "answer")


async def _offers(_request: Request, abilities: Abilities, caller: Caller) -> Response:
    door = _door(abilities)
    return JSONResponse(await door.run(door.desk.offers, role_of(caller)))


def _door(abilities: Abilities) -> SqlDoor:
    if abilities.sql is None:
        raise HTTPException(404, "nothing answers questions in SQL here")
    return abilities.sql


_LIST: Final = {"type": "array", "items": {"type": "object"}}
ENDPOINTS: Final = (
    Endpoint("GET", "/sql", "sql", "Tables, columns and saved reports that the token may ask.",
             _offers, 200, {"type": "object", "required": ["tables", "reports"],
                            "properties": {"tables": {"type": "object"}, "reports": _LIST}},
             is_audited=False),
    # Not audited as a mere use: the desk puts each question on record, with what came of it.
    Endpoint("POST", "/sql", "sql", "Ask one SELECT, or run a saved report.", _ask, 200,
             {"type": "object", "required": ["columns", "types", "rows", "truncated"],
              "properties": {"columns": {"type": "array"}, "types": {"type": "array"},
                             "rows": {"type": "array"}, "truncated": {"type": "boolean"}}},
             body=SqlWanted, is_audited=False),
)  # fmt: skip
