"""Load node.toml: every fault of it at once, each with its path, or frozen settings."""

import json
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from config import api_checks, client_checks, files, references, words
from config.model import Settings, Tls
from config.tables import table
from dicom.errors import ConfigFault


def load(path: Path, *, with_secrets: bool = True, with_tls: bool = False) -> Settings:
    """Read a config file with the files of conf.d beside it, and check all of it.

    Relative paths in it, and the default data_dir, are taken from the config file's folder.
    A command that only looks (status, held) needs no secrets, and an administrator's shell has
    none: it says so. The files of [tls] are read only for whoever opens the door: a worker needs
    none of them, and goes on when a certificate has ended. Raises ConfigFault with every problem
    found; none of them repeats a secret.
    """
    path = path.absolute()
    merged = files.read(path)
    if not merged.complete:
        raise ConfigFault(merged.problems)
    settings, problems = _validated(merged.tables)
    problems += references.check(merged.tables, path.parent, with_secrets=with_secrets)
    if with_tls:
        problems += _tls_problems(merged.tables.get("tls"), path.parent, "tls")
        problems += api_checks.check_viewer(merged.tables, path.parent)
        http = table(merged.tables, "http")
        pair = {key: http[key] for key in ("certificate", "key") if key in http}
        problems += _tls_problems(pair, path.parent, "http")
    told = dict(merged.problems)
    for place, said in problems:
        origin = merged.origin(place)
        told.setdefault(files.shown(place), f"{said} [{origin}]" if origin else said)
    if told or settings is None:
        raise ConfigFault(list(told.items()))
    anchored: Settings = _anchored(settings, path.parent)
    if with_tls and (found := list(client_checks.tls_files(anchored))):
        raise ConfigFault([(files.shown(place), said) for place, said in found])
    return anchored


def _validated(
    tables: dict[str, Any],
) -> tuple[Settings | None, list[tuple[files.Place, str]]]:
    try:
        # JSON mode is strict about types, yet takes lists for tuples and text for paths.
        return Settings.model_validate_json(json.dumps(tables), strict=True), []
    except ValidationError as fault:
        return None, words.explain(fault, Settings)


def _tls_problems(wanted: Any, folder: Path, where: str) -> list[tuple[files.Place, str]]:
    from config import certificates

    try:
        tls = Tls.model_validate(wanted)
    except ValidationError:
        return []  # absent, or of a wrong shape, which is told elsewhere
    found = certificates.problems(_anchored(tls, folder), time.time())
    return [((where, key), words) for key, words in found]


def _anchored(value: Any, folder: Path) -> Any:
    """Make every relative path in a value absolute."""
    if isinstance(value, Path):
        return folder / value
    if isinstance(value, BaseModel):
        changed = {name: _anchored(each, folder) for name, each in value}
        return value.model_copy(update=changed)
    if isinstance(value, dict):
        return {key: _anchored(each, folder) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_anchored(each, folder) for each in value)
    return value
