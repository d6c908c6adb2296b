"""Tables of the conformance statement: what the node serves, in which transfer syntaxes; pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydicom.uid import UID

from config.model import Settings
from deid.profile import KNOWN_OPTIONS, read_base
from deid.table.table import EDITION
from dicom import charset, commitment_wire, scu
from dicom.commitment import STORAGE_COMMITMENT
from dicom.context import MOST_CONTEXTS, TRANSFER_SYNTAXES, storage_contexts
from dicom.mpps import MPPS
from dicom.retrieve import GET_MODELS, MOVE_MODELS
from dicom.transcode import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom.worklist import MODALITY_WORKLIST
from node.conformance_markdown import table
from node.services.commitment import CommitmentService
from node.services.echo import EchoService
from node.services.find import MODELS, FindService
from node.services.get import GetService
from node.services.move import MoveService
from node.services.mpps import MppsService
from node.services.worklist import WorklistService

NEWER_NAMES: Final[Mapping[str, str]] = {
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.8": "Height Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.1": "Waveform Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.2": "Waveform Acquisition Presentation State Storage",
}
"""What PS3.6 Table A-1 calls classes that pydicom's dictionary does not name yet."""


def name_of(uid: str) -> str:
    """Say what PS3.6 calls a UID; "private" where it does not know it."""
    known = UID(uid).name
    return NEWER_NAMES.get(uid, "private" if known == uid else known)


def storage_classes(settings: Settings) -> list[str]:
    """List the SOP Class UIDs that the door takes in, by their numbers."""
    contexts = storage_contexts(settings.node.private_sop_classes)
    return sorted((str(each.abstract_syntax) for each in contexts), key=_numbers)


def overview(settings: Settings) -> str:
    """Write the table of networking services."""
    storage = f"Storage: the {len(storage_classes(settings))} SOP Classes of 8.7"
    by_hand = "Yes, by command"
    rows = [
        (name_of(str(each.abstract_syntax)), str(each.abstract_syntax), by_hand, "Yes")
        for each in EchoService().contexts()
    ]
    rows.append((storage, "8.7", "Yes", "Yes"))
    rows += [(name_of(uid), uid, by_hand, "Yes") for uid in MODELS]
    rows += [(name_of(uid), uid, "No", "Yes") for uid in (*MOVE_MODELS, *GET_MODELS)]
    rows.append((name_of(STORAGE_COMMITMENT), STORAGE_COMMITMENT, "Yes", "Yes"))
    rows.append((name_of(MPPS), MPPS, "No", "Yes"))
    rows.append((name_of(MODALITY_WORKLIST), MODALITY_WORKLIST, "No", "Yes"))
    return table(("SOP Class", "UID", "User of service (SCU)", "Provider of service (SCP)"), rows)


def identity() -> str:
    """Write the implementation's names."""
    return table(
        ("", ""),
        [
            ("Implementation Class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
            ("Implementation Version Name", f"`{IMPLEMENTATION_VERSION_NAME}`"),
        ],
    )


def accepted_contexts(settings: Settings) -> str:
    """Write what abstract syntaxes are accepted in what transfer syntaxes, as an acceptor."""
    rows: list[Sequence[str]] = [
        (
            "the Storage SOP Classes of 8.7", "", "those of 8.8", "",
            "SCP; SCU by role selection, for C-GET", "`store`; as SCU `get`",
        )
    ]  # fmt: skip
    nothing: Any = None  # a service lists its contexts without asking anybody
    services = (
        EchoService(),
        FindService(settings, nothing),
        MoveService(settings, nothing),
        GetService(settings, nothing),
        CommitmentService(settings, nothing, nothing),
        MppsService(settings, nothing, nothing),
        WorklistService(settings, nothing),
    )
    for service in services:
        permission = f"`{service.permission}`" if service.permission else "none needed"
        for context in service.contexts():
            role = "SCP; SCU by role selection" if context.scu_role else "SCP"
            for number, syntax in enumerate(context.transfer_syntax or ()):
                abstract = str(context.abstract_syntax)
                first = (name_of(abstract), abstract) if not number else ("", "")
                rows.append((*first, name_of(str(syntax)), str(syntax), role, permission))
    return table(("Abstract syntax", "UID", "Transfer syntax", "UID", "Role", "Permission"), rows)


def proposed_contexts() -> str:
    """Write what is proposed, as a requestor."""
    own = "the one that the object is kept in"
    limit = f"a context for each pair of the two, at most {MOST_CONTEXTS} in an association"
    substitutes = " and ".join(name_of(each) for each in (EXPLICIT_LITTLE, IMPLICIT_LITTLE))
    others = f"{own}, and {substitutes} where it can be given in these: {limit}"
    rows = [
        ("the SOP Class of each object to be sent", others, "destinations of kind `dicom`"),
        ("the SOP Class of each object to be sent", others, "C-MOVE"),
        (
            "the SOP Class of each object to be sent",
            f"{own}: {limit}",
            'destinations with `transcode = "never"`, `penumbra send`',
        ),
    ]
    commands = [(scu.verification(), "`penumbra echo`")]
    commands += [(scu.proposing(uid), "`penumbra query`") for uid in MODELS]
    commands.append((commitment_wire.contexts(), "destinations with `commit = true`; reports"))
    for contexts, by in commands:
        for each in contexts:
            syntaxes = ", ".join(name_of(str(one)) for one in each.transfer_syntax)
            rows.append((name_of(str(each.abstract_syntax)), syntaxes, by))
    return table(("Abstract syntax", "Transfer syntaxes", "Proposed by"), rows)


def classes(settings: Settings) -> str:
    """Write every storage SOP class that is accepted."""
    return _uids("SOP Class", storage_classes(settings))


def transfer_syntaxes() -> str:
    """Write every transfer syntax that stored objects are accepted in, in the order of choice."""
    return _uids("Transfer syntax", TRANSFER_SYNTAXES)


def character_sets() -> str:
    """Write the defined terms of SpecificCharacterSet that are understood."""
    terms = ", ".join(f"`{each}`" for each in charset.TERMS)
    return f"None (the default repertoire, ISO_IR 6), {terms}.\n"


def confidentiality() -> str:
    """Write the attribute confidentiality profile that is built."""
    base = read_base("basic")
    value, scheme, meaning = base.code
    return table(
        ("", ""),
        [
            ("Profile", base.title),
            ("Code of CID 7050", f"({value}, {scheme}, {meaning})"),
            ("Edition of Table E.1-1", EDITION),
            ("Options of PS3.15 E.3", ", ".join(sorted(KNOWN_OPTIONS)) or "none"),
            ("Attributes that depart from the table, each with its reason", str(len(base.reasons))),
        ],
    )


def _uids(heading: str, uids: Iterable[str]) -> str:
    rows = [(name_of(uid), uid, "retired" if _is_retired(uid) else "") for uid in uids]
    return table((heading, "UID", ""), rows)


def _is_retired(uid: str) -> bool:
    known = UID(uid)
    return not known.is_private and known.name != uid and known.is_retired


def _numbers(uid: str) -> list[int]:
    return [int(part) if part.isdecimal() else 0 for part in uid.split(".")]
