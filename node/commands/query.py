"""`penumbra query`: ask any PACS, or a node, what it holds (C-FIND SCU)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from dicom.options import Options
from dicom.uid import PATIENT_ROOT_FIND, PATIENT_STUDY_ONLY_FIND, STUDY_ROOT_FIND
from node.options import host_port
from node.tables import print_table

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MODELS: Final = {
    "patient": PATIENT_ROOT_FIND,
    "study": STUDY_ROOT_FIND,
    "patient-study": PATIENT_STUDY_ONLY_FIND,
}
SHOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "PATIENT": ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    "STUDY": (
        "StudyDate",
        "StudyTime",
        "PatientID",
        "PatientName",
        "AccessionNumber",
        "ModalitiesInStudy",
        "StudyDescription",
        "StudyInstanceUID",
    ),
    "SERIES": ("SeriesNumber", "Modality", "SeriesDescription", "SeriesInstanceUID"),
    "IMAGE": ("InstanceNumber", "SOPClassUID", "SOPInstanceUID"),
}
"""Asked for without being told to."""


@click.command()
@click.argument("address", metavar="HOST:PORT", type=host_port)
@click.option(
    "-k",
    "--key",
    "keys",
    multiple=True,
    metavar="KEY[=VALUE]",
    help="A matching key by keyword or gggg,eeee, with dots within sequences; without a value it is"
    " only returned. Repeatable.",
)
@click.option(
    "--level",
    type=click.Choice(list(SHOWN), case_sensitive=False),
    default="STUDY",
    show_default=True,
    help="What to list.",
)
@click.option(
    "--root",
    type=click.Choice(list(MODELS)),
    default="study",
    show_default=True,
    help="The information model; `study` has no PATIENT level, `patient-study` none below STUDY.",
)
@click.option(
    "--relational", is_flag=True, help="Ask below STUDY without UIDs of the levels above."
)
@click.option("--fuzzy", is_flag=True, help="Let names match that sound alike, word by word.")
@click.option("--combined", is_flag=True, help="Let ranges of a date and of its time be one range.")
@click.option("--aet", default="PENUMBRA", show_default=True, help="The AE title to call as.")
@click.option("--called", default="ANY-SCP", show_default=True, help="The AE title to call.")
@click.option("--timeout", "timeout_s", default=30.0, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
def command(
    address: tuple[str, int],
    keys: tuple[str, ...],
    level: str,
    *,
    root: str,
    relational: bool,
    fuzzy: bool,
    combined: bool,
    aet: str,
    called: str,
    timeout_s: float,
    as_json: bool,
) -> None:
    """List the patients, studies, series or images that a DICOM peer holds.

    Values may hold * and ?, dates may be ranges (20240101-20240131 or 20240101-), and a list of
    UIDs is separated by backslashes. Below STUDY, give the UIDs of the levels above. --relational,
    --fuzzy and --combined are negotiated: a peer that cannot do it goes on without a word.

    \b
    Examples:
      penumbra query pacs:104 --called PACS -k "PatientName=doe*" -k StudyDate=20240101-
      penumbra query pacs:104 --called PACS --level SERIES -k StudyInstanceUID=1.2.3 --json
      penumbra query pacs:104 --called PACS -k ProcedureCodeSequence.CodeValue=CTHEAD
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import json

    level = level.upper()
    identifier = build_identifier(level, dict.fromkeys(SHOWN[level], "") | _given(keys))
    model = MODELS[root]
    wanted = Options(relational, combined, fuzzy)
    options = {model: wanted.encoded} if any((relational, combined, fuzzy)) else {}
    matches = _ask(
        address, identifier, model, aet=aet, called=called, timeout_s=timeout_s, options=options
    )
    rows = [texts(match) for match in matches]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    _print(rows, [one.keyword for one in identifier if one.keyword not in _OWN])


_OWN: Final = frozenset({"SpecificCharacterSet", "QueryRetrieveLevel", "RetrieveAETitle"})


def _given(keys: tuple[str, ...]) -> dict[str, str]:
    parts = (key.partition("=") for key in keys)
    return {name.strip(): value for name, _, value in parts}


def build_identifier(level: str, keys: Mapping[str, str]) -> "Dataset":
    """Make an identifier of keywords or tags and their texts, in UTF-8 where ASCII falls short.

    Raises click.BadParameter for a name that is no attribute, or a value that cannot be sent.
    """
    from pydicom.dataset import Dataset

    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    if not "".join(keys.values()).isascii():
        identifier.SpecificCharacterSet = "ISO_IR 192"
    for name, text in keys.items():
        *outer, last = (part.strip() for part in name.split("."))
        item = identifier
        for part in outer:
            item = _item(item, part, name)
        _set(item, _tag_of(last, name), text, name)
    return identifier


def _tag_of(part: str, name: str) -> int:
    from pydicom.datadict import keyword_for_tag, tag_for_keyword

    pair = part.strip("()").replace(",", "")
    tag = tag_for_keyword(part) or (int(pair, 16) if _is_tag(pair) else None)
    if tag is None or not keyword_for_tag(tag):
        raise click.BadParameter(f"{name} is not the keyword or the tag of an attribute")
    return tag


def _item(dataset: "Dataset", part: str, name: str) -> "Dataset":
    """Give the one item of a sequence, made where it is not there yet."""
    from pydicom.datadict import dictionary_VR
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    tag = _tag_of(part, name)
    if dictionary_VR(tag) != "SQ":
        raise click.BadParameter(f"{part} in {name} is no sequence")
    if tag not in dataset or not dataset[tag].value:
        dataset.add_new(tag, "SQ", Sequence([Dataset()]))
    item: Dataset = dataset[tag].value[0]
    return item


def _set(dataset: "Dataset", tag: int, text: str, name: str) -> None:
    from pydicom.config import IGNORE
    from pydicom.datadict import dictionary_VR
    from pydicom.dataelem import DataElement

    vr = dictionary_VR(tag)
    if vr == "SQ" and text:
        raise click.BadParameter(f"{name} is a sequence: name what stands in it, with a dot")
    try:
        value: object = int(text) if vr == "US" and text else text or None
        dataset[tag] = DataElement(tag, vr, value, validation_mode=IGNORE)
    except ValueError as fault:
        raise click.BadParameter(f"{name} cannot hold this value") from fault


def _is_tag(text: str) -> bool:
    return len(text) == 8 and all(digit in "0123456789abcdefABCDEF" for digit in text)


def _ask(
    address: tuple[str, int],
    identifier: "Dataset",
    model: str,
    *,
    aet: str,
    called: str,
    timeout_s: float,
    options: Mapping[str, bytes],
) -> Iterator["Dataset"]:
    """Yield each match. Raises Unreachable, Busy, or Refused with what the peer said."""
    from dicom import scu

    host, port = address
    with scu.associate(
        host, port, called_ae=called, calling_ae=aet, contexts=scu.proposing(model),
        timeout_s=timeout_s, options=options,
    ) as association:  # fmt: skip
        yield from scu.find(association, identifier, model)


def texts(match: "Dataset") -> dict[str, Any]:
    """Give a match as text by keyword (or tag, where it has none); a sequence as a list."""
    from dicom import charset

    return _texts(match, charset.encodings(charset.terms_of(match)))


def _texts(match: "Dataset", declared: tuple[str, ...]) -> dict[str, Any]:
    from dicom import charset

    return {
        one.keyword or str(one.tag): [_texts(item, declared) for item in one.value]
        if one.VR == "SQ"
        else charset.read(match, one.tag, one.VR, declared)
        for one in match
        if one.keyword not in _OWN
    }


def _told(value: Any) -> str:
    """Write a value for a cell of the table."""
    if isinstance(value, list):
        items = ("; ".join(f"{name}={_told(one)}" for name, one in item.items()) for item in value)
        return "\n".join(items)
    return str(value).replace("\\", ", ")


def _print(rows: list[dict[str, Any]], columns: list[str]) -> None:
    if not rows:
        click.echo("No match.")
        return
    cells = ([_told(row.get(column, "")) for column in columns] for row in rows)
    print_table(columns, cells, heading=f"{len(rows)} found")
