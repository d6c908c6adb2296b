"""One way to de-identify, run in a process of its own and told when to go by standard input.

python subjects.py NAME FILE...   (with the interpreter of the environment that has it)

Every line "go" on standard input de-identifies all the files once, from bytes in memory to
/dev/null, and is answered with a line of JSON: seconds, and how many objects came out. So that
several such processes can take turns, each waits in between. "peak" answers with the highest
resident memory so far, in bytes, beside that before the first object. Peers are imported here by
name: one of them is a package called `deid`, as ours is, and cannot share an interpreter with it.
"""

import io
import json
import logging
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

Way = Callable[[bytes], None]


def _read(raw):
    from pydicom import dcmread

    return dcmread(io.BytesIO(raw))


def _write(dataset, *, enforce_file_format=True) -> None:
    with Path(os.devnull).open("wb") as out:
        dataset.save_as(out, enforce_file_format=enforce_file_format)


def plain() -> Way:
    """Read and write with pydicom; elements that nobody asks for are not even decoded."""
    return lambda raw: _write(_read(raw))


def penumbra(base: str) -> Way:
    """Apply a profile of ours, with self-check."""
    from config.profiles import Profile
    from config.shapes import Secret
    from deid.apply import deidentify
    from deid.profile import compile_profile

    settings = Profile(base=base, key=Secret(env="unused"))
    profile = compile_profile("bench", settings, bytes(range(32)))

    def way(raw: bytes) -> None:
        with Path(os.devnull).open("wb") as out:
            out.writelines(deidentify(raw, profile).chunks)

    return way


def dicognito() -> Way:
    """Apply dicognito."""
    from dicognito.anonymizer import Anonymizer

    anonymizer = Anonymizer(seed="bench")

    def way(raw: bytes) -> None:
        dataset = _read(raw)
        anonymizer.anonymize(dataset)
        _write(dataset)

    return way


def dicom_anonymizer() -> Way:
    """Apply Kitware's dicom-anonymizer."""
    from dicomanonymizer import anonymize_dataset

    def way(raw: bytes) -> None:
        dataset = _read(raw)
        anonymize_dataset(dataset)
        _write(dataset)

    return way


def pydicom_deid() -> Way:
    """Apply pydicom's deid with the recipe that it ships."""
    from deid.config import DeidRecipe
    from deid.dicom import replace_identifiers

    recipe = DeidRecipe()

    def way(raw: bytes) -> None:
        dataset = _read(raw)
        dataset.filename = "in.dcm"
        (done,) = replace_identifiers([dataset], deid=recipe, save=False)
        _write(done, enforce_file_format=False)  # it takes the file meta away

    return way


WAYS = {
    "plain": plain,
    "basic": lambda: penumbra("basic"),
    "research": lambda: penumbra("research"),
    "dicognito": dicognito,
    "dicom-anonymizer": dicom_anonymizer,
    "deid": pydicom_deid,
}


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Serve lines until standard input ends."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    name, *files = sys.argv[1:]
    answers = sys.stdout
    sys.stdout = sys.stderr  # some peers print
    way = WAYS[name]()
    objects = [Path(file).read_bytes() for file in files]
    before = _peak_bytes()
    print(json.dumps({"ready": name}), file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "peak":
            print(json.dumps({"before": before, "peak": _peak_bytes()}), file=answers, flush=True)
            continue
        start = time.perf_counter()
        for raw in objects:
            way(raw)
        answer = {"seconds": time.perf_counter() - start, "objects": len(objects)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
