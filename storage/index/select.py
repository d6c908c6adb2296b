"""A Query as one SQL statement with its parameters.

Every word of the statement comes from the catalogue of attributes; whatever a requester wrote
travels as a parameter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dicom.attributes import CATALOGUE, Attribute, Level
from dicom.matching import (
    BEFORE_A_WORD,
    MOMENT_VRS,
    SPELLINGS,
    AnyOf,
    Between,
    Criterion,
    Empty,
    Like,
    Words,
    regex,
)
from dicom.query import Key, Query, narrowing
from dicom.zone import OFFSET_FORM
from storage.index.keys import HASHED
from storage.index.narrowing import columns_of, narrowed
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
_ORDERS: Final = {
    Level.PATIENT: "patient.PatientID, patient.IssuerOfPatientID",
    Level.STUDY: "study.StudyDate DESC NULLS LAST, study.StudyTime DESC NULLS LAST,"
    " study.StudyInstanceUID",
    Level.SERIES: "series.StudyInstanceUID, series.SeriesNumber, series.SeriesInstanceUID",
    Level.IMAGE: "instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.InstanceNumber,"
    " instance.SOPInstanceUID",
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

    def key(self, key: Key) -> str:
        """Write what one key asks for, of a date together with its time."""
        if key.time is None:
            return self.condition(key.attribute, key.criterion)
        assert isinstance(key.criterion, Between)  # as it was read
        date, time = self.expression(key.attribute), self.expression(key.time)
        shift = ""
        if key.zone_minutes is not None:
            shift = f" - {self._shift(key.zone_minutes)}"
        late = f"({date} + coalesce({time}, TIME '23:59:59.999999'){shift})"
        early = f"({date} + coalesce({time}, TIME '00:00:00'){shift})"
        parts = [f"{date} IS NOT NULL"]
        if key.criterion.first is not None:
            parts.append(f"{late} >= {self.bind(key.criterion.first)}")
        if key.criterion.last is not None:
            parts.append(f"{early} <= {self.bind(key.criterion.last)}")
        return f"({' AND '.join(parts)})"

    def _shift(self, zone_minutes: int) -> str:
        """Write what an entity's time is ahead of the requester's zone, nothing if unknown."""
        offset = self.expression(CATALOGUE["TimezoneOffsetFromUTC"])
        hours, minutes = f"{offset}[1:3]::INTEGER", f"({offset}[1:1] || {offset}[4:5])::INTEGER"
        ahead = f"{hours} * 60 + {minutes} - {self.bind(zone_minutes)}"
        known = f"regexp_full_match({offset}, '{OFFSET_FORM}')"
        return f"to_minutes(CASE WHEN {known} THEN {ahead} ELSE 0 END)"

    def held(self, attribute: Attribute, texts: Sequence[str]) -> str:
        """Write that a sequence is there and that its JSON holds some texts."""
        expression = self.expression(attribute)
        parts = [f"contains({expression}, {self.bind(text)})" for text in texts]
        return " AND ".join([f"{expression} IS NOT NULL", *parts])

    def condition(self, attribute: Attribute, wanted: Criterion) -> str:
        """Write what one key asks for."""
        expression = self.expression(attribute)
        if isinstance(wanted, Between):
            return self._between(expression, wanted)
        several = attribute.many or attribute.vr == "PN"
        if attribute.vr == "PN":
            expression = f"{self._table(attribute)}.{folded(attribute)}"
        if isinstance(wanted, Empty):
            return self._empty(attribute, expression, several=several)
        if isinstance(wanted, Words):
            return self._words(expression, wanted)
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

    def _empty(self, attribute: Attribute, expression: str, *, several: bool) -> str:
        if attribute.vr in {*MOMENT_VRS, "IS", "US"}:
            return f"{expression} IS NULL"
        bare = f"replace({expression}, '\\', '')" if several else expression
        return f"coalesce({bare}, '') = ''"

    def _words(self, expression: str, wanted: Words) -> str:
        for written, alike in SPELLINGS:
            expression = f"replace({expression}, '{written}', '{alike}')"
        parts = [
            f"regexp_matches({expression}, {self.bind(BEFORE_A_WORD + re.escape(word))})"
            for word in wanted.words
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
            start = pattern.removesuffix("*")
            if several and start != pattern and not re.search(r"[*?]", start):
                begun = f"contains({expression}, {self.bind(chr(92) + start)})"
                parts.append(f"(starts_with({expression}, {self.bind(start)}) OR {begun})")
                continue
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


def select(
    query: Query, limit: int, *, offset: int = 0, is_ordered: bool = False
) -> tuple[str, list[object]]:
    """Write the statement that finds at most `limit` matches of a query.

    Its columns are the query's `returning` attributes in order, and then its sequence keys, or one
    constant if there are none. With sequence keys it finds more than match, and without a limit:
    see finding.py. Ordered, the same question has its matches in the same order each time, newest
    Studies first, and `offset` passes over the first of them.
    """
    statement = Statement(query.level)
    statement.tables.add(query.level)
    wanted = [statement.key(key) for key in query.matching]
    wanted += [statement.held(attribute, texts) for attribute, texts in narrowing(query)]
    columns = [statement.expression(attribute) for attribute in query.returning]
    columns += [statement.expression(key.attribute) for key in query.sequences]
    where = f" WHERE {' AND '.join(wanted)}" if wanted else ""
    if is_ordered or offset:
        where += f" ORDER BY {_ORDERS[query.level]}"
    picked = ", ".join(columns or ["1"])
    source = _source(query, statement, picked + where)
    words = f"SELECT {picked} FROM {source}{where}"  # noqa: S608  (see above)
    if query.sequences:  # what is sifted later cannot be counted here
        return words, statement.parameters
    words += f" LIMIT {limit:d}" + (f" OFFSET {offset:d}" if offset else "")
    return words, statement.parameters


def _source(query: Query, statement: Statement, words: str) -> str:
    """Join the tables that are read, each narrowed to the rows that an index knows."""
    values = {
        key.attribute.keyword: key.criterion.values
        for key in query.matching
        if isinstance(key.criterion, AnyOf)
    }
    if len(query.matching) == 1 and not values.keys() & HASHED:
        values = {}  # the one condition finds its index by itself, and a little sooner

    def table(name: str) -> str:
        return narrowed(name, values, statement.bind, columns=columns_of(name, words))

    level, tables = query.level, statement.tables
    own = TABLES[level]
    source = table(own)
    if level is Level.IMAGE and Level.SERIES in tables:
        source += f" JOIN {table('series')} USING (StudyInstanceUID, SeriesInstanceUID)"
    if level.depth > Level.STUDY.depth and Level.STUDY in tables:
        source += f" JOIN {table('study')} ON study.StudyInstanceUID = {own}.StudyInstanceUID"
    return source
