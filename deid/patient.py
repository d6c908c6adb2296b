"""Whose data a dataset is: the pseudonym, the shift of dates, and the way back to both."""

from dataclasses import dataclass, field
from typing import Final

from deid import account
from deid.account import Account
from deid.level import ascii_value, decoded
from deid.parse import Element
from deid.pseudonym import Pseudonyms

IDENTIFIER: Final = 0x0010_0020
_ACCESSION: Final = 0x0008_0050
_NAME: Final = 0x0010_0010
_ISSUER: Final = 0x0010_0021
_BIRTH_DATE: Final = 0x0010_0030
_STUDY: Final = 0x0020_000D
_NOBODY: Final = "\x1estudy"
"""An issuer that no hospital has: of objects without a PatientID."""


@dataclass(frozen=True, slots=True)
class Patient:
    """The patient of a dataset. Holds an identifier: never log it."""

    pseudonym: str
    days: int
    """By how many days this patient's dates move where they do."""
    identifier: str = field(repr=False)
    """"" for a patient that nobody named."""


def read(
    elements: tuple[Element, ...], codecs: tuple[str, ...], pseudonyms: Pseudonyms, *, is_top: bool
) -> Patient | None:
    """Read whose dataset this is; None for an item that names no patient of its own.

    Objects of nobody must not become one patient: each such study is its own.
    """
    identifier = decoded(elements, IDENTIFIER, codecs)
    if not identifier and not is_top:
        return None
    who = identifier or ascii_value(elements, _STUDY)
    issuer = decoded(elements, _ISSUER, codecs) if identifier else _NOBODY
    return Patient(pseudonyms.patient(who, issuer), pseudonyms.days(who, issuer), identifier)


def remember(
    patient: Patient, elements: tuple[Element, ...], codecs: tuple[str, ...], into: Account
) -> None:
    """Remember the originals that a patient's pseudonym leads back to."""
    into.replaced(account.PATIENT, patient.pseudonym, patient.identifier)
    for kind, tag in (
        (account.ISSUER, _ISSUER),
        (account.NAME, _NAME),
        (account.BIRTH_DATE, _BIRTH_DATE),
    ):
        into.replaced(kind, patient.pseudonym, decoded(elements, tag, codecs))


def remember_study(
    elements: tuple[Element, ...], codecs: tuple[str, ...], new_study_uid: str, into: Account
) -> None:
    """Remember the accession number, to which the new Study Instance UID leads back."""
    into.replaced(account.ACCESSION, new_study_uid, decoded(elements, _ACCESSION, codecs))
