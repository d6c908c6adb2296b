"""Check what [sources.NAME] tables say of each other, of peers, and of what is delivered."""

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote

from config import bucket_checks
from config.files import Place
from config.sources import title_of
from config.tables import Found, Tables, named_tables, table
from config.urls import split
from dicom import ae

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check(tables: Tables, folder: Path) -> Found:
    """Yield each fault as its place and words; relative paths are taken from `folder`."""
    titles: dict[str, str] = {}
    for name, source in named_tables(tables, "sources"):
        here: Place = ("sources", name)
        if not _NAME.fullmatch(name):
            yield here, "a name is letters, digits, dots, hyphens and underscores, at most 64"
            continue
        yield from _title(tables, here, source, titles)
        if source.get("kind") == "bucket":
            yield from _bucket(here, source)
        yield from _ring(tables, here, source, folder)


def _title(tables: Tables, here: Place, source: Tables, titles: dict[str, str]) -> Found:
    given = source.get("ae_title")
    if given is not None and not isinstance(given, str):
        return
    name = str(here[1])
    title = title_of(name, given)
    if not ae.is_valid(title):
        yield (*here, "ae_title"), "is no AE title: give one of 1 to 16 characters (PS3.5 6.2)"
    elif title in table(tables, "peers"):
        words = f"is {title}, which is one of [peers] too: rules could not tell them apart"
        yield (*here, "ae_title"), words
    elif titles.setdefault(title, name) != name:
        yield (*here, "ae_title"), f"is {title}, the same as of [sources.{titles[title]}]"


def _bucket(here: Place, source: Tables) -> Found:
    yield from bucket_checks.whereabouts(here, source)
    yield from bucket_checks.keys(here, source)


def _ring(tables: Tables, here: Place, source: Tables, folder: Path) -> Found:
    """Find a source that would take in what the node itself delivers, for ever."""
    key = "path" if source.get("kind") == "folder" else "url"
    taken = _whereabouts(source, folder)
    for name, destination in named_tables(tables, "destinations"):
        delivered = _whereabouts(destination, folder)
        if taken and delivered and (delivered + "/").startswith(taken + "/"):
            words = f"holds what [destinations.{name}] delivers to: it would come in again for ever"
            yield (*here, key), words
    for name, other in named_tables(tables, "sources"):
        others = _whereabouts(other, folder)
        is_before = name != here[1] and taken and others
        if is_before and (others + "/").startswith(taken + "/"):
            yield (*here, key), f"holds the place of [sources.{name}]: objects would be taken twice"


def _whereabouts(place: Tables, folder: Path) -> str:
    """Write a folder or a bucket prefix so that one that lies in another begins with it."""
    path = place.get("path")
    if place.get("kind") == "folder" and isinstance(path, str):
        return "file://" + os.path.normpath(folder / path).rstrip("/")
    url = split(place.get("url"))
    if url is None or not url.scheme:
        return ""
    return f"{_host(url, place)}{unquote(url.path)}".rstrip("/")


def _host(url: SplitResult, place: Tables) -> str:
    if url.scheme == "file":
        return "file://"
    return f"{url.scheme}://{place.get('endpoint') or ''}|{url.netloc}"
