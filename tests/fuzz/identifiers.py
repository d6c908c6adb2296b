"""Fuzz what a question says: a damaged identifier is a query that can be answered, or a Fault.

Case N of a seed is always the same, whatever the time it is given.
"""

import time
from collections.abc import Iterator
from functools import cache
from random import Random

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom.dsutils import encode

from dicom import identifier, query, worklist_query
from dicom.errors import Fault
from dicom.find_answer import Identifiers
from dicom.options import ALL
from dicom.worklist import STEPS
from storage.index.select import select
from tests.fuzz.mutate import flip, flip_head, lose, truncate
from tests.fuzz.parser import Finding

SYNTAXES = {
    "1.2.840.10008.1.2": (True, True, False),
    "1.2.840.10008.1.2.1": (False, True, False),
    "1.2.840.10008.1.2.1.99": (False, True, True),
    "1.2.840.10008.1.2.2": (False, False, False),
}
"""Whether VRs are implicit, the order is little endian, and the whole is deflated."""
WAYS = (flip, flip, flip_head, lose, truncate)
KEYS = {
    "PatientName": "M*l?er^=山田", "PatientID": "'; DROP TABLE study; --", "StudyTime": "2200-0100",
    "StudyDate": "20240131-", "ModalitiesInStudy": "CT\\MR", "StudyInstanceUID": "1.2\\1.3",
    "AccessionNumber": '""', "Rows": 512, "InstanceNumber": "01", "TimezoneOffsetFromUTC": "+0100",
}  # fmt: skip
ENTRY = {"PatientName": "Müller^Jürgen=山田", STEPS: [{"Modality": "CT"}]}


@cache
def encoded(level: str, syntax: str) -> bytes:
    """An honest identifier with keys of each kind."""
    made, item = Dataset(), Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.QueryRetrieveLevel = level
    for keyword, value in KEYS.items():
        setattr(made, keyword, value)
    item.ScheduledProcedureStepStartDate, item.Modality = "20260101-20260131", "C*"
    made.RequestAttributesSequence = made.ScheduledProcedureStepSequence = Sequence([item])
    found = encode(made, *SYNTAXES[syntax])
    assert found is not None
    return found


def judge(seed: int, number: int) -> Finding | None:
    """Read a damaged identifier in every model; returns what is wrong, if anything."""
    chance = Random(f"{seed}/identifier/{number}")
    syntax = chance.choice(list(SYNTAXES))
    said = [encoded(chance.choice(("PATIENT", "STUDY", "SERIES", "IMAGE")), syntax)]
    for _time in range(chance.choice((0, 1, 1, 2, 3))):
        chance.choice(WAYS)(chance, said, ())
    try:
        ask(said[0], syntax)
    except Exception as fault:  # noqa: BLE001  (whatever gets out is what is looked for)
        words = [f"{type(fault).__name__} got out of an identifier: {fault}"]
        return Finding(words, seed, number, said[0])
    return None


def ask(data: bytes, syntax: str) -> None:
    """Read an identifier in each model, and answer it as far as that needs no database."""
    try:
        keys = identifier.read(data, syntax)
    except Fault:
        return
    for root in query.Root:
        try:
            asked = query.parse(keys, root, ALL)
        except Fault:
            continue
        select(asked, 10)
        query.matches(asked, {})
        texts = ["Müller" if one.vr == "PN" else "" for one in asked.returning]
        Identifiers(asked, "PENUMBRA", syntax).identifier(texts)
    try:
        wanted = worklist_query.parse(keys)
    except Fault:
        return
    worklist_query.matches(wanted, ENTRY)
    worklist_query.answer(wanted, ENTRY, syntax)


def run(seed: int, seconds: float) -> Iterator[Finding | int]:
    """Yield findings as they come, and at the end how many cases were tried."""
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        finding = judge(seed, number)
        if finding is not None:
            yield finding
        number += 1
    yield number
