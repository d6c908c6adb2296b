"""What is stated about a model: its own parameters, with node.toml's keys laid over them.

Every fault names the model and the parameter. A parameter is judged by itself first, so that a
fault is told of where it was written; then as node.toml changes it.
"""

import difflib
import json
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar

from config import contracts
from config.models import Model
from config.shapes import Table
from dicom.errors import BadAnswer, ConfigFault

PREFIX: Final = "penumbra."

_SINGLE: Final = ("algorithm", "algorithm_version", "settings", "procedure", "trust", "digest")
_GROUPS: Final = ("wants", "input", "output")
_WORDS_ONLY: Final = frozenset({"modality", "orientation", "contrast"})
"""What a Series must be, in bare words: "01" stays text here."""
_LONGEST: Final = 1024
_TableT = TypeVar("_TableT", bound=Table)


class Statement:
    """Gives the tables of one model's contract."""

    def __init__(self, model: str, parameters: Mapping[str, str], settings: Model) -> None:
        """Take what a server says of a model, and what node.toml says.

        Raises BadAnswer at a parameter that nobody reads: it is a misspelt one.
        """
        self.model = model
        self._settings = settings
        self._parameters = {
            name.removeprefix(PREFIX): text
            for name, text in parameters.items()
            if name.startswith(PREFIX)
        }
        for key in self._parameters:
            group, _, rest = key.partition(".")
            if not (key in _SINGLE or (group in _GROUPS and rest)):
                raise self.fault(key, f"is no known parameter; {_nearest(key, _SINGLE)}")

    def fault(self, key: str, words: str) -> BadAnswer:
        """Name the model and the parameter."""
        shown = "".join(sign for sign in f"{PREFIX}{key}" if sign.isprintable())[:100]
        changed = ", as node.toml changes it" if self._is_changed(key) else ""
        return self._own_fault(f"{shown.removeprefix(PREFIX)}{changed}", words)

    def _own_fault(self, key: str, words: str) -> BadAnswer:
        return BadAnswer(f"model {self.model}: parameter {PREFIX}{key}: {words}")

    def missing(self, key: str, example: str) -> BadAnswer:
        """Say what to write, and where."""
        own = f"write it in config.pbtxt, such as {example}"
        return self.fault(key, f"missing: {own}, or as {_in_toml(key)} in node.toml")

    def words(self, key: str, over: str | None, *, longest: int = 64) -> str:
        """Give a text; "" where nobody states it."""
        text = over if over is not None else self._parameters.get(key, "")
        if not text.isprintable() or "\\" in text or text != text.strip() or len(text) > longest:
            raise self.fault(key, f"must be printable text of {longest} characters at most")
        return text

    def algorithm(self) -> tuple[str, str, str]:
        """Give its name, its version, and its settings in words, which may be empty."""
        name = self.words("algorithm", self._settings.algorithm)
        version = self.words("algorithm_version", self._settings.algorithm_version)
        if not name:
            raise self.missing("algorithm", '"Lung nodules"')
        if not version:
            raise self.missing("algorithm_version", '"1.0.0"')
        text = self._settings.settings or self._parameters.get("settings", "")
        if not text.isprintable() or len(text) > _LONGEST:
            raise self.fault("settings", f"must be one line of {_LONGEST} characters at most")
        return name, version, text.strip()

    def procedure(self) -> contracts.Coded:
        """Give the code of the procedure reported."""
        if self._settings.procedure is not None:
            return self._settings.procedure
        if "procedure" not in self._parameters:
            example = '{"value": "25045-6", "scheme": "LN", "meaning": "CT"}'
            raise self.missing("procedure", f"'{example}'")
        return self._judged("procedure", contracts.Coded, self._object("procedure"))

    def wants(self) -> contracts.Wants:
        """Give what a Series must be. Its fields are parameters of their own."""
        own: dict[str, Any] = {}
        for key, text in self._parameters.items():
            group, _, field = key.partition(".")
            if group != "wants":
                continue
            known = contracts.Wants.model_fields
            if field not in known:
                raise self.fault(key, f"is no known parameter; {_nearest(field, known)}")
            value = text if field in _WORDS_ONLY else self._json_or_text(key, text)
            # One by one, so that the fault names the parameter.
            self._judged_value(key, field, value)
            own[field] = value
        over = contracts.row(self._settings.wants)
        for field in ("min_slices", "max_spacing_mm"):
            if (value := getattr(self._settings, field)) is not None:
                over[field] = value
        return self._merged("wants", contracts.Wants, own, over)

    def input(self, tensor: str) -> contracts.Input:
        """Give what fills a tensor; without a kind where nobody states it."""
        over = contracts.row(self._settings.inputs.get(tensor))
        return self._merged(f"input.{tensor}", contracts.Input, self._row(f"input.{tensor}"), over)

    def output(self, tensor: str) -> contracts.Output:
        """Give what a tensor means; without a kind where nobody states it."""
        over = contracts.row(self._settings.outputs.get(tensor))
        return self._merged(
            f"output.{tensor}", contracts.Output, self._row(f"output.{tensor}"), over
        )

    def trust(self) -> contracts.Trust:
        """Give how sure the model is made to say it is."""
        own = self._object("trust") if "trust" in self._parameters else {}
        return self._merged("trust", contracts.Trust, own, contracts.row(self._settings.trust))

    def refuse_strangers(self, group: str, tensors: Collection[str]) -> None:
        """Refuse what is stated about a tensor that the model does not have."""
        over = self._settings.inputs if group == "input" else self._settings.outputs
        own = (key.partition(".") for key in self._parameters)
        stated = [rest for found, _, rest in own if found == group]
        for tensor in [*stated, *over]:
            if tensor not in tensors:
                there = ", ".join(sorted(tensors)) or "none"
                words = f"the model has no {group} tensor of this name; it has {there}"
                raise self.fault(f"{group}.{tensor}", words)

    def _is_changed(self, key: str) -> bool:
        group, _, rest = key.partition(".")
        if group in {"input", "output"}:
            tables = self._settings.inputs if group == "input" else self._settings.outputs
            return rest in tables
        over = getattr(self._settings, group, None)
        return over is not None and (not rest or getattr(over, rest, None) is not None)

    def _row(self, key: str) -> dict[str, Any]:
        text = self._parameters.get(key)
        if text is None:
            return {}
        bare = text.strip()
        if bare.isidentifier():
            return {"kind": bare}
        return self._object(key)

    def _object(self, key: str) -> dict[str, Any]:
        found = self._json(key, self._parameters[key])
        if not isinstance(found, dict):
            raise self.fault(key, "not a JSON object")
        return found

    def _json(self, key: str, text: str) -> object:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as fault:
            raise self.fault(key, "not JSON") from fault

    def _json_or_text(self, key: str, text: str) -> object:
        is_word = text[:1].isalpha()
        return text if is_word else self._json(key, text)

    def _judged_value(self, key: str, field: str, value: object) -> None:
        try:
            contracts.stated(contracts.Wants, {field: value})
        except ConfigFault as fault:
            raise self.fault(key, "; ".join(words for _, words in fault.problems)) from fault

    def _merged(
        self, key: str, kind: type[_TableT], own: Mapping[str, Any], over: Mapping[str, Any]
    ) -> _TableT:
        try:
            table = contracts.stated(kind, own)
        except ConfigFault as fault:
            raise self._own_fault(key, _told(fault)) from fault
        if not over:
            return table
        # Another kind makes the rest of what the model says about it meaningless.
        is_other = "kind" in own and over.get("kind", own["kind"]) != own["kind"]
        merged = dict(over) if is_other else {**own, **over}
        return self._judged(key, kind, merged)

    def _judged(self, key: str, kind: type[_TableT], row: Mapping[str, Any]) -> _TableT:
        try:
            return contracts.stated(kind, row)
        except ConfigFault as fault:
            raise self.fault(key, _told(fault)) from fault


def _told(fault: ConfigFault) -> str:
    told = "; ".join(f"{place} {said}".strip() for place, said in fault.problems)
    return "".join(sign for sign in told if sign.isprintable())[:500]


def _nearest(wrong: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"


def _in_toml(key: str) -> str:
    group, _, rest = key.partition(".")
    table = {"input": "inputs", "output": "outputs"}.get(group, group)
    return f"[models.NAME] {table}.{rest}" if rest else f"[models.NAME] {key}"
