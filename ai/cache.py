"""Answers that are kept, so that a Series that is asked about again costs no call.

The key is what the model was given, and which model that was as its server describes it. Kept in
memory, or in files that the workers of a machine share; the oldest go when there is no room.
"""

import base64
import contextlib
import hashlib
import json
import os
import tempfile
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.contract import Served
from ai.prepared import Tensors

Arrays = dict[str, npt.NDArray[Any]]
_ROWS: Final = "\0rows of "
"""No tensor has such a name."""


def key_of(served: Served, pixel_digest: str) -> str:
    """Make the key of an answer: SHA-256 (hex) of the model's description and of its input."""
    facts = [
        served.model,
        served.version,
        served.server,
        [[one.name, one.datatype, list(one.shape)] for one in (*served.inputs, *served.outputs)],
        sorted(served.parameters.items()),
        pixel_digest,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def folder_of(model: str, endpoints: Collection[str]) -> str:
    """Name the folder of the answers of a model on these servers."""
    return hashlib.sha256(json.dumps([model, sorted(endpoints)]).encode()).hexdigest()[:16]


def digest(arrays: Tensors) -> str:
    """SHA-256 (hex) of arrays by their names."""
    return hashlib.sha256(pack(dict(sorted(arrays.items())))).hexdigest()


def with_rows(arrays: Tensors, rows: Mapping[str, Sequence[int]]) -> Arrays:
    """Put beside an answer how many rows of each output came with each request."""
    counts = {f"{_ROWS}{name}": np.array(each, np.int64) for name, each in rows.items()}
    return {**arrays, **counts}


def without_rows(found: Tensors) -> tuple[Arrays, dict[str, tuple[int, ...]]]:
    """Take apart what `with_rows` put together."""
    arrays = {name: array for name, array in found.items() if not name.startswith(_ROWS)}
    rows = {
        name.removeprefix(_ROWS): tuple(int(count) for count in array)
        for name, array in found.items()
        if name.startswith(_ROWS)
    }
    return arrays, rows


class Cache:
    """So many bytes of answers. Not shared between threads; the files may be."""

    def __init__(self, limit_bytes: int, folder: Path | None = None) -> None:
        """Keep answers in files of `folder`, which is made here; in memory without one."""
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        if folder is not None:
            with contextlib.suppress(OSError):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def get(self, key: str) -> Arrays | None:
        """Find an answer; None where it is not kept, or cannot be read."""
        if self._folder is None:
            content = self._kept.get(key)
            if content is not None:
                self._kept.move_to_end(key)
        else:
            content = self._read(self._folder / key)
        return None if content is None else unpack(content)

    def put(self, key: str, arrays: Tensors) -> None:
        """Keep an answer, unless it alone is more than the limit."""
        content = pack(arrays)
        if len(content) > self._limit_bytes:
            return
        if self._folder is not None:
            self._write(self._folder, key, content)
            return
        self._kept[key] = content
        self._kept.move_to_end(key)
        while sum(map(len, self._kept.values())) > self._limit_bytes:
            self._kept.popitem(last=False)

    @staticmethod
    def _read(file: Path) -> bytes | None:
        with contextlib.suppress(OSError):
            content = file.read_bytes()
            os.utime(file)  # the oldest are those that were not asked for
            return content
        return None

    def _write(self, folder: Path, key: str, content: bytes) -> None:
        # A cache that cannot be written costs a call later, and nothing now.
        with contextlib.suppress(OSError):
            descriptor, name = tempfile.mkstemp(dir=folder, prefix=".")
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    stream.write(content)
                Path(name).replace(folder / key)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
            self._make_room(folder)

    def _make_room(self, folder: Path) -> None:
        found = []
        for file in folder.iterdir():
            with contextlib.suppress(OSError):  # another worker makes room too
                facts = file.stat()
                found.append((facts.st_mtime, facts.st_size, file))
        size = sum(each for _, each, _ in found)
        for _, each, file in sorted(found):
            if size <= self._limit_bytes:
                return
            file.unlink(missing_ok=True)
            size -= each


def pack(arrays: Tensors) -> bytes:
    """Write arrays down: their digest, a line of JSON that says what they are, and their values."""
    heads, parts = [], []
    for name, array in arrays.items():
        if array.dtype.kind == "O":
            texts = [base64.b64encode(each).decode() for each in array.flat]
            heads.append({"name": name, "shape": array.shape, "texts": texts})
        else:
            shape = array.shape
            heads.append({"name": name, "shape": shape, "dtype": array.dtype.str})
            parts.append(array.tobytes())
    body = b"".join([json.dumps(heads).encode(), b"\n", *parts])
    return hashlib.sha256(body).digest() + body


def unpack(content: bytes) -> Arrays | None:
    """Read arrays that were written down; None where they are damaged."""
    digest, body = content[:32], content[32:]
    if hashlib.sha256(body).digest() != digest:
        return None
    line, _, values = body.partition(b"\n")
    arrays: Arrays = {}
    at = 0
    for head in json.loads(line):
        if "texts" in head:
            texts = np.empty(len(head["texts"]), dtype=np.object_)
            texts[:] = [base64.b64decode(each) for each in head["texts"]]
            arrays[head["name"]] = texts.reshape(head["shape"])
            continue
        dtype = np.dtype(head["dtype"])
        count = int(np.prod(head["shape"], dtype=np.int64))
        array = np.frombuffer(values, dtype=dtype, count=count, offset=at)
        arrays[head["name"]] = array.reshape(head["shape"])
        at += array.nbytes
    return arrays
