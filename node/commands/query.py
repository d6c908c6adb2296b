"""`penumbra query`: ask any PACS, or a node, what it holds (C-FIND SCU)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import click

from dicom.uid import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from node.options import host_port

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MODELS: Final = {"patient": PATIENT_ROOT_FIND, "study": STUDY_ROOT_FIND}
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
    help="A matching key by keyword or gggg,eeee; without a value it is only returned. Repeatable.",
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
    help="The information model; only `patient` has the PATIENT level.",
)
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
    aet: str,
    called: str,
    timeout_s: float,
    as_json: bool,
) -> None:
    """List the patients, studies, series or images that a DICOM peer holds.

    Values may hold * and ?, dates may be ranges (20240101-20240131 or 20240101-), and a list of
    UIDs is separated by backslashes. Below STUDY, give the UIDs of the levels above.

    \b
    Examples:
      penumbra query pacs:104 --called PACS -k "PatientName=doe*" -k StudyDate=20240101-
      penumbra query pacs:104 --called PACS --level SERIES -k StudyInstanceUID=1.2.3 --json
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import json

    level = level.upper()
    identifier = build_identifier(level, dict.fromkeys(SHOWN[level], "") | _given(keys))
    matches = _ask(address, identifier, MODELS[root], aet=aet, called=called, timeout_s=timeout_s)
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
    from pydicom.config import IGNORE
    from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    if not "".join(keys.values()).isascii():
        identifier.SpecificCharacterSet = "ISO_IR 192"
    for name, text in keys.items():
        pair = name.strip("()").replace(",", "")
        tag = tag_for_keyword(name) or (int(pair, 16) if _is_tag(pair) else None)
        if tag is None or not keyword_for_tag(tag):
            raise click.BadParameter(f"{name} is not the keyword or the tag of an attribute")
        vr = dictionary_VR(tag)
        try:
            value: object = int(text) if vr == "US" and text else text or None
            identifier[tag] = DataElement(tag, vr, value, validation_mode=IGNORE)
        except ValueError as fault:
            raise click.BadParameter(f"{name} cannot hold this value") from fault
    return identifier


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
) -> Iterator["Dataset"]:
    """Yield each match. Raises Unreachable, Busy, or Refused with what the peer said."""
    from dicom import scu

    host, port = address
    with scu.associate(
        host, port, called_ae=called, calling_ae=aet, contexts=scu.proposing(model),
        timeout_s=timeout_s,
    ) as association:  # fmt: skip
        yield from scu.find(association, identifier, model)


def texts(match: "Dataset") -> dict[str, str]:
    """Give a match as text by keyword (or tag, where it has none), decoded."""
    from dicom import charset

    declared = charset.encodings(charset.terms_of(match))
    return {
        one.keyword or str(one.tag): charset.read(match, one.tag, one.VR, declared)
        for one in match
        if one.keyword not in _OWN
    }


def _print(rows: list[dict[str, str]], columns: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        click.echo("No match.")
        return
    table = Table(*columns, title=f"{len(rows)} found")
    for row in rows:  # Text, because a name may look like markup
        table.add_row(*(Text(row.get(column, "").replace("\\", ", ")) for column in columns))
    Console().print(table)
