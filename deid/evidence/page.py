"""Show a signed report as one HTML file for people: no scripts, nothing fetched, good to print.

A pure function of the report, so the page says what was signed and no more. Everything that it
shows is escaped here, in `_text` and `_code`.
"""

import hashlib
import html
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Final

from deid.evidence import actions, names
from deid.evidence.page_words import DEPARTURES, DONE, GROUPS, NOT_COVERED, SELF_CHECK

Facts = Mapping[str, Any]

_LABELS: Final = (
    ("name", "Name"),
    ("title", "Method"),
    ("base", "Base"),
    ("edition", "Table of the standard"),
    ("digest", "SHA-256 of its rules"),
    ("project", "Project"),
    ("documents", "Encapsulated documents"),
    ("reversible", "Way back kept in the vault"),
    ("vocabulary", "Site vocabulary"),
    ("device_rules", "Device rules for pixels"),
)


@cache
def _template() -> Template:
    return Template((files("deid.evidence") / "page.html").read_text("utf-8"))


def render(report: Facts, signed: bytes, key: str) -> str:
    """Make the page of a report; `signed` is the content of its JSON file, `key` its key's id."""
    study = report["study"]["study_instance_uid"] or "no object came through"
    body = "\n".join(
        [
            _head(report),
            _profile(report["profile"], report["options_applied"]),
            _done(report),
            _checks(report),
            _quarantined(report["quarantined"]),
            _delivered(report["objects"]),
            _overruled(report["overruled"]),
            _limits(),
            _departures(report["profile"]),
            _foot(report, signed, key),
        ]
    )
    return _template().substitute(title=_text(f"Evidence of de-identification: {study}"), body=body)


def _text(words: object) -> str:
    return html.escape(str(words))


def _code(words: object) -> str:
    return f"<code>{html.escape(str(words))}</code>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """Lay out escaped cells; the last `numbers` columns are figures."""
    first = len(heads) - numbers

    def line(cells: Sequence[str], tag: str) -> str:
        classes = ["" if i < first else ' class="number"' for i in range(len(cells))]
        return "<tr>" + "".join(
            f"<{tag}{c}>{cell}</{tag}>" for c, cell in zip(classes, cells, strict=True)
        ) + "</tr>"  # fmt: skip

    body = "\n".join(line(row, "td") for row in rows)
    head = line([_text(each) for each in heads], "th")
    return (
        f'<div class="scroll"><table><thead>{head}</thead><tbody>\n{body}\n</tbody></table></div>'
    )


def _head(report: Facts) -> str:
    study, counts, made = report["study"], report["counts"], report["made"]
    outside = "original_study_instance_uid" not in study
    tiles = (
        (counts["objects"], "objects examined"),
        (counts["clean"], "proven clean"),
        (counts["quarantined"], "quarantined"),
        (counts["delivered"], "delivered"),
        *((len(rows), f"attributes {group}") for group, rows in report["actions"].items()),
    )
    cells = "".join(
        f'<div class="tile"><b>{_text(number)}</b><span>{_text(words)}</span></div>'
        for number, words in tiles
    )
    facts = [
        ("Study", _code(study["study_instance_uid"] or "none: every object was quarantined")),
        ("Patient, as pseudonym", _code(", ".join(study["patient_pseudonyms"]) or "none")),
        ("Made", f"{_text(made['at'])} by {_text(made['by'])}, node {_text(made['node'])}"),
    ]
    if not outside:
        facts.insert(1, ("Original study", _code(study["original_study_instance_uid"])))
    return (
        '<header><div class="over">Penumbra · Evidence of de-identification</div>'
        "<h1>What was done to one study</h1>"
        f"{_facts(facts)}</header>\n{_verdict(counts)}"
        f'<div class="verdict {"note" if not outside else "soft"}">This report '
        f"{_text(report['audience'])}.</div>\n"
        f'<div class="tiles">{cells}</div>'
    )


def _verdict(counts: Mapping[str, int]) -> str:
    if counts["quarantined"]:
        words = f"Quarantined: {counts['quarantined']} of {counts['objects']} objects."
        if counts["delivered_before"]:
            words += (
                f" {counts['delivered_before']} of them had been delivered before, by the earlier "
                "outcomes below: look into these first."
            )
        else:
            words += " They were not delivered under this profile."
        if counts["clean"]:
            words += f" {counts['clean']} passed the self-check."
        return f'<div class="verdict bad">{_text(words)}</div>\n'
    words = f"All {counts['objects']} objects passed the self-check."
    return f'<div class="verdict good">{_text(words)}</div>\n'


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<dt>{_text(name)}</dt><dd>{words}</dd>" for name, words in rows)
    return f"<dl>{cells}</dl>"


def _say(value: object) -> str:
    return {True: "yes", False: "no", "": "none"}.get(value, str(value))


def _profile(profile: Facts, applied: Sequence[Facts]) -> str:
    rows = [(words, _text(_say(profile[key]))) for key, words in _LABELS if key in profile]
    parts = ["<h2>Profile</h2>", "<p>The rules under which this study was treated.</p>"]
    parts.append(_facts(rows))
    counts = {each["words"]: each["objects"] for each in applied}
    options = sorted({*profile.get("options", ()), *counts})
    if options:
        parts.append(
            "<h3>Options of PS3.15 Annex E, and in how many objects they were applied</h3>"
        )
        reasons = profile.get("option_reasons", {})
        cells = [
            (
                _code(name),
                _text(reasons.get(name, "chosen by the site")),
                _text(counts.get(name, 0)),
            )
            for name in options
        ]
        parts.append(_table(("Option", "Why", "Objects"), cells, 1))
    else:
        parts.append("<p>No option of PS3.15 Annex E is on.</p>")
    exceptions = profile.get("exceptions")
    if exceptions:
        parts.append("<h3>Exceptions of this site, with their reasons</h3>" + _rules(exceptions))
    return "\n".join(parts)


def _departures(profile: Facts) -> str:
    departures = profile.get("departures")
    if not departures:
        return ""
    return f"<h2>Appendix</h2><p>{_text(DEPARTURES)}</p>" + _rules(departures)


def _rules(rules: Iterable[Facts]) -> str:
    cells = [
        (
            f"{_text(names.words(each['tag']))} {_code(each['tag'])}",
            _text(_action(each["action"])),
            _text(each["reason"]),
        )
        for each in rules
    ]
    return _table(("Attribute", "Instead", "Reason"), cells)


def _action(action: str) -> str:
    """Say an action in words; the config's words are words already."""
    known = actions.MEANINGS.get(action)
    return known.words if known else action


def _done(report: Facts) -> str:
    parts = [
        "<h2>What was done</h2>",
        f"<p>{_text(DONE)}</p>",
    ]
    for group in actions.GROUPS:
        rows = report["actions"].get(group, ())
        if not rows:
            continue
        title, words = GROUPS[group]
        parts.append(f"<h3>{_text(title)} ({len(rows)})</h3><p>{_text(words)}</p>")
        cells = [
            (_text(name), _code(path), _text(done), _text(objects))
            for name, path, done, objects in _lines(rows)
        ]
        parts.append(_table(("Attribute", "Path", "Action", "Objects"), cells, 1))
    return "\n".join(parts)


def _lines(rows: Iterable[Facts]) -> list[tuple[object, object, object, object]]:
    """Give name, path, action and objects of each row; private elements of a group share a line.

    Scanners write hundreds of them, and one by one they tell a reader nothing.
    """
    together: dict[tuple[object, ...], list[Facts]] = {}
    for row in rows:
        is_private = row["name"].endswith(names.PRIVATE)
        path = row["path"][: -len("eeee)")] if is_private else row["path"]
        together.setdefault((path, row["action"], row["objects"]), []).append(row)
    return [
        (
            some[0]["name"] if len(some) == 1 else f"{some[0]['name']}s: {len(some)}",
            some[0]["path"] if len(some) == 1 else f"{some[0]['path'][:-5]}....)",
            some[0]["words"],
            some[0]["objects"],
        )
        for some in together.values()
    ]


def _checks(report: Facts) -> str:
    check = report["self_check"]
    parts = [
        "<h2>Checks</h2>",
        "<h3>Self-check</h3>",
        f"<p>{_text(SELF_CHECK)}</p>",
        _facts(
            [
                ("Passed", _text(check["passed"])),
                ("Failed, kept back", _text(check["failed"])),
                ("Kept back before it", _text(check["not_reached"])),
            ]
        ),
    ]
    if report["remarks"]:
        parts.append("<h3>Remarks</h3>")
        cells = [
            (_text(row["words"]), _text(row["name"]), _code(row["path"]), _text(row["objects"]))
            for row in report["remarks"]
        ]
        parts.append(_table(("Remark", "Attribute", "Path", "Objects"), cells, 1))
    parts.append("<h3>Validation before</h3>")
    if report["validation"]:
        cells2 = [(_text(row["words"]), _text(row["objects"])) for row in report["validation"]]
        parts.append(_table(("Finding", "Objects"), cells2, 1))
    else:
        parts.append("<p>Nothing was found, or nothing was looked for.</p>")
    return "\n".join(parts)


def _quarantined(rows: Sequence[Facts]) -> str:
    if not rows:
        return "<h2>Quarantined</h2><p>No object.</p>"
    cells = [
        (
            _text(row["number"]),
            _text(row["reason"]),
            _text(row["rule"]),
            _text(row["at"]),
            _original(row),
        )
        for row in rows
    ]
    heads = ("No.", "Reason", "Rule", "When", "Original")
    return "<h2>Quarantined</h2>" + _table(heads, cells)


def _original(row: Facts) -> str:
    original = row.get("original")
    return _code(original["sop_instance_uid"]) if original else "not in this report"


def _delivered(objects: Sequence[Facts]) -> str:
    parts = ["<h2>Objects and where they are</h2>"]
    if not objects:
        return parts[0] + "<p>None.</p>"
    cells = [
        (
            _code(row["sop_instance_uid"]) + ("<br>" + _original(row) if "original" in row else ""),
            _text(each["destination"]) if each else "not delivered",
            _code(each["location"]) if each else "",
            (_text(each["proof"]) + "<br>" + _code(each["sha256_sent"])) if each else "",
            _text(each["at"]) if each else _text(row["at"]),
        )
        for row in objects
        for each in (row["deliveries"] or [None])
    ]
    heads = ("Object", "Destination", "Place", "Proof and SHA-256", "When")
    return parts[0] + _table(heads, cells)


def _overruled(rows: Sequence[Facts]) -> str:
    if not rows:
        return ""
    cells = [
        (
            _text(row["number"]),
            _text(row["reason"]) if "reason" in row else "came through as clean",
            _text(len(row.get("deliveries", ()))),
            _text(row["at"]),
        )
        for row in rows
    ]
    return (
        "<h2>Earlier outcomes</h2><p>These objects were treated again later; what counts is "
        "above.</p>" + _table(("No.", "Outcome", "Deliveries", "When"), cells)
    )


def _limits() -> str:
    points = "".join(f"<li>{_text(each)}</li>" for each in NOT_COVERED)
    return f"<h2>What this does not prove</h2><ul>{points}</ul>"


def _foot(report: Facts, signed: bytes, key: str) -> str:
    digest = hashlib.sha256(signed).hexdigest()
    return (
        "<footer><p>This page shows a report that was signed with Ed25519. What counts is the "
        "signed file: <code>penumbra evidence --verify FILE</code>.</p>"
        + _facts(
            [
                ("Signed by key", _code(key)),
                ("SHA-256 of the signed file", _code(digest)),
                ("Format", _code(report["format"])),
            ]
        )
        + "</footer>"
    )
