"""A Query as one SQL statement with its parameters.

Every word of the statement comes from the catalogue of attributes; whatever a requester wrote
travels as a parameter.
"""

from dataclasses import dataclass, field
from typing import Final

from dicom.attributes import Attribute, Level
from dicom.matching import AnyOf, Between, Criterion, Like, regex
from dicom.query import Query
from storage.index.schema import TABLES, folded

_UIDS: Final = {"StudyInstanceUID": Level.STUDY, "SeriesInstanceUID": Level.SERIES}
_SAME_PATIENT: Final = (
    "FROM study AS s WHERE s.PatientID = {0}.PatientID"
    " AND s.IssuerOfPatientID = {0}.IssuerOfPatientID"
)
_OF_PATIENT: Final = {
    "NumberOfPatientRelatedStudies": "(SELECT count(*) ",
    "NumberOfPatientRelatedSeries": "(SELECT sum(s.NumberOfStudyRelatedSeries)::BIGINT ",
    "NumberOfPatientRelatedInstances": "(SELECT sum(s.NumberOfStudyRelatedInstances)::BIGINT ",
}
_MANY_STARS: Final = 4  # from here on LIKE may go back and forth; RE2 never does


@dataclass(slots=True)
class Statement:
    """SQL under construction, with the values of its $1, $2 and so on."""

    level: Level
    parameters: list[object] = field(default_factory=list)
    tables: set[Level] = field(default_factory=set)

    def bind(self, value: object) -> str:
        """Add a parameter and give its placeholder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}"

    def expression(self, attribute: Attribute) -> str:
        """Say where an attribute is read from, joining the table of its level if need be."""
        table = self._table(attribute)
        if attribute.keyword in _OF_PATIENT:
            return _OF_PATIENT[attribute.keyword] + _SAME_PATIENT.format(table) + ")"
        return f"{table}.{attribute.keyword}"

    def _table(self, attribute: Attribute) -> str:
        level = attribute.level
        if attribute.keyword in _UIDS and self.level.holds(level):
            level = self.level  # the lower tables repeat the UIDs above them
        elif level is Level.PATIENT and self.level is not Level.PATIENT:
            level = Level.STUDY
        self.tables.add(level)
        return TABLES[level]

    def condition(self, attribute: Attribute, wanted: Criterion) -> str:
        """Write what one key asks for."""
        expression = self.expression(attribute)
        if isinstance(wanted, Between):
            return self._between(expression, wanted)
        several = attribute.many or attribute.vr == "PN"
        if attribute.vr == "PN":
            expression = f"{self._table(attribute)}.{folded(attribute)}"
        if isinstance(wanted, AnyOf):
            numeric = attribute.vr in {"IS", "US"}
            values = [int(v) for v in wanted.values] if numeric else list(wanted.values)
            return self._any_of(expression, values, several=several)
        return self._like(expression, wanted, several=several)

    def _between(self, expression: str, wanted: Between) -> str:
        parts = [
            f"{expression} {sign} {self.bind(end)}"
            for sign, end in ((">=", wanted.first), ("<=", wanted.last))
            if end is not None
        ]
        return f"({' AND '.join(parts)})"

    def _any_of(self, expression: str, values: list[int] | list[str], *, several: bool) -> str:
        if len(values) == 1:
            whole = f"{expression} = {self.bind(values[0])}"
            inside = f"contains('\\' || {expression} || '\\', {{}})"
            other = inside.format(self.bind(f"\\{values[0]}\\")) if several else ""
        else:
            bound = self.bind(values)
            whole = f"{expression} IN (SELECT unnest({bound}))"
            other = f"list_has_any(string_split({expression}, '\\'), {bound})"
        if not several:
            return whole
        return f"({whole} OR (contains({expression}, '\\') AND {other}))"

    def _like(self, expression: str, wanted: Like, *, several: bool) -> str:
        parts: list[str] = []
        for pattern in wanted.patterns:
            whole = self._one_like(expression, pattern)
            if several:
                bound = self.bind("\\\\" + regex(pattern, r"[^\\]*", r"[^\\]") + "\\\\")
                inside = f"regexp_matches('\\' || {expression} || '\\', {bound}, 's')"
                alone = f"(NOT contains({expression}, '\\') AND {whole})"
                whole = f"({alone} OR (contains({expression}, '\\') AND {inside}))"
            parts.append(whole)
        return f"({' OR '.join(parts)})"

    def _one_like(self, expression: str, pattern: str) -> str:
        if pattern.count("*") >= _MANY_STARS:
            return f"regexp_full_match({expression}, {self.bind(regex(pattern, '.*', '.'))}, 's')"
        text = pattern
        for special in "!%_":
            text = text.replace(special, f"!{special}")
        bound = self.bind(text.replace("*", "%").replace("?", "_"))
        return f"{expression} LIKE {bound}" + (" ESCAPE '!'" if "!" in text else "")


def select(query: Query, limit: int) -> tuple[str, list[object]]:
    """Write the statement that finds at most `limit` matches of a query.

    Its columns are the query's `returning` attributes in order, or one constant if there are
    none.
    """
    statement = Statement(query.level)
    statement.tables.add(query.level)
    wanted = [statement.condition(key.attribute, key.criterion) for key in query.matching]
    columns = [statement.expression(attribute) for attribute in query.returning] or ["1"]
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    source = _source(query.level, statement.tables)
    words = f"SELECT {', '.join(columns)} FROM {source}{where} LIMIT {limit:d}"  # noqa: S608  (see above)
    return words, statement.parameters


def _source(level: Level, tables: set[Level]) -> str:
    source = TABLES[level]
    if level is Level.IMAGE and Level.SERIES in tables:
        source += " JOIN series USING (StudyInstanceUID, SeriesInstanceUID)"
    if level.depth > Level.STUDY.depth and Level.STUDY in tables:
        own = TABLES[level]
        source += f" JOIN study ON study.StudyInstanceUID = {own}.StudyInstanceUID"
    return source
