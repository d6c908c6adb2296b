"""Read worklist entries: from a dataset, as DCMTK's wlmscpfs keeps them, or from JSON."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom import charset
from dicom.errors import CannotUnderstand
from dicom.worklist import CATALOGUE, STEPS, Item, Known, checked, whole

LARGEST_BYTES: Final = 1 << 20
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_NAME_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")


def of_file(data: bytes) -> list[Item]:
    """Read the entries of a file: a dataset with or without file meta, or JSON.

    There is one for each item of Scheduled Procedure Step Sequence. Raises CannotUnderstand.
    """
    if data.lstrip()[:1] in {b"{", b"["}:
        return of_json(data)
    try:
        dataset = dcmread(io.BytesIO(data), force=True)
        made = _of_dataset(dataset, CATALOGUE, charset.ASCII)
    except Exception as fault:  # pydicom raises many kinds on hostile bytes
        raise CannotUnderstand("it is neither a DICOM dataset nor JSON") from fault
    return entries(made)


def of_json(data: bytes) -> list[Item]:
    """Read the entries of a JSON text: an object, or a list of objects.

    An object has keywords ({"PatientID": "4711"}) or is of the DICOM JSON Model (PS3.18 F). Raises
    CannotUnderstand.
    """
    try:
        told = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as fault:
        raise CannotUnderstand("it is no JSON in UTF-8") from fault
    found = [one for each in (told if isinstance(told, list) else [told]) for one in of_told(each)]
    if not found:
        raise CannotUnderstand("there is no entry in it")
    return found


def of_told(told: object) -> list[Item]:
    """Read the entries of one JSON object. Raises CannotUnderstand."""
    return entries(_of_told(told, CATALOGUE))


def entries(made: Item) -> list[Item]:
    """Make an entry of each Scheduled Procedure Step. Raises CannotUnderstand."""
    steps = made.get(STEPS) or [{}]
    return [checked(whole({**made, STEPS: [step]})) for step in steps]


def _of_dataset(
    dataset: Dataset, catalogue: Mapping[str, Known], declared: charset.Encodings
) -> Item:
    terms = charset.terms_of(dataset)
    declared = charset.encodings(terms) if terms else declared
    item: dict[str, Any] = {}
    for keyword, known in catalogue.items():
        attribute = known.attribute
        if attribute.tag not in dataset:
            continue
        if known.inside is None:
            item[keyword] = charset.read(dataset, attribute.tag, attribute.vr, declared)
        else:
            items = dataset[attribute.tag].value or ()
            item[keyword] = [_of_dataset(one, known.inside, declared) for one in items]
    return item


def _of_told(told: object, catalogue: Mapping[str, Known]) -> Item:
    if not isinstance(told, Mapping):
        raise CannotUnderstand("an entry must be an object")
    by_tag = {f"{known.attribute.tag:08X}": known for known in catalogue.values()}
    item: dict[str, Any] = {}
    for name, value in told.items():
        if known := by_tag.get(name.upper()):
            value = _of_model(value, known)  # noqa: PLW2901  (the same value, in one form)
        elif _TAG.fullmatch(name):
            continue  # the DICOM JSON Model may say more than is asked for
        else:
            known = catalogue.get(name)
        if known is None:
            raise CannotUnderstand("a keyword is not one of a worklist entry (PS3.4 Table K.6-1)")
        item[known.attribute.keyword] = _value(value, known)
    return item


def _value(value: object, known: Known) -> object:
    if known.inside is not None:
        listed = value if isinstance(value, list) else [value]
        return [_of_told(one, known.inside) for one in listed]
    parts = value if isinstance(value, list) else [value]
    return "\\".join(_text(one, known) for one in parts)


def _text(value: object, known: Known) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip(" ")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise CannotUnderstand(f"{known.attribute.keyword} must be text")


def _of_model(value: object, known: Known) -> object:
    """Take a value out of the DICOM JSON Model: {"vr": "PN", "Value": [...]}."""
    listed = value.get("Value", []) if isinstance(value, Mapping) else None
    if not isinstance(listed, list):
        raise CannotUnderstand(f"{known.attribute.keyword} is not of the DICOM JSON Model")
    if known.attribute.vr != "PN":
        return listed
    return [_name(one) if isinstance(one, Mapping) else one for one in listed]


def _name(groups: Mapping[str, object]) -> str:
    texts = (groups.get(each, "") for each in _NAME_GROUPS)
    return "=".join(each if isinstance(each, str) else "" for each in texts).rstrip("=")


def as_told(item: Item) -> Iterator[tuple[str, object]]:
    """Yield an entry's values as JSON has them: lists where there are several."""
    for keyword, value in item.items():
        if isinstance(value, list):
            yield keyword, [dict(as_told(one)) for one in value]
        else:
            yield keyword, value.split("\\") if "\\" in value else value
