"""The JSON file beside a JPEG or PNG that says whose image it is; the home of its schema.

Its keys are DICOM keywords, and `as`. Nothing is guessed: an unknown key, a date that is none and
a UID that is none are faults, all told at once and without the values.
"""

import json
import re
from collections import Counter
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from config.words import explain
from dicom import uid
from dicom.errors import CannotUnderstand
from dicom.moments import date_of, time_of, to_da, to_tm

MOST_BYTES: Final = 64 << 10
"""A sidecar is a page of text."""
_ISO_DATE: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_CODE: Final = re.compile(r"^[A-Z0-9 _]{1,16}$")
_DIRECTIONS: Final = re.compile(r"^[APRLHF]{1,3}\\[APRLHF]{1,3}$")
_PERSON: Final = re.compile(r"[^=\\]*(=[^=\\]*){0,2}")


def _date(value: Any) -> Any:
    return _ISO_DATE.sub(r"\1\2\3", value) if isinstance(value, str) else value


def _a_date(value: str) -> str:
    date = date_of(value)
    if date is None:
        raise ValueError("is no date: write YYYY-MM-DD or YYYYMMDD")
    return to_da(date)


def _a_time(value: str) -> str:
    time = time_of(value)
    if time is None:
        raise ValueError("is no time: write HH:MM:SS or HHMMSS")
    return to_tm(time)


def _a_uid(value: str) -> str:
    if not uid.is_valid(value):
        raise ValueError("is no UID (PS3.5 9.1)")
    return value


def _a_code(value: str) -> str:
    if not _CODE.fullmatch(value) or value != value.strip():
        raise ValueError("is no code: 1 to 16 capital letters, digits, _ or spaces between them")
    return value


def _directions(value: str) -> str:
    if not _DIRECTIONS.fullmatch(value):
        raise ValueError(r"must say where rows and columns go to, such as L\\F in JSON")
    return value


def _plain(value: str) -> str:
    if not value.isprintable() or "\\" in value or value != value.strip():
        raise ValueError("must be printable, without backslash and without spaces around it")
    return value


def _person(value: str) -> str:
    if not _PERSON.fullmatch(value) or any(
        len(group) > 64 or group.count("^") > 4 for group in value.split("=")
    ):
        raise ValueError("is no person's name: FAMILY^GIVEN, each form at most 64 characters")
    return value


Date = Annotated[str, BeforeValidator(_date), AfterValidator(_a_date)]
Time = Annotated[str, AfterValidator(_a_time)]
Uid = Annotated[str, AfterValidator(_a_uid)]
LongText = Annotated[str, Field(max_length=64), AfterValidator(_plain)]
ShortText = Annotated[str, Field(max_length=16), AfterValidator(_plain)]
Code = Annotated[str, AfterValidator(_a_code), Field(json_schema_extra={"pattern": _CODE.pattern})]
Directions = Annotated[
    str, AfterValidator(_directions), Field(json_schema_extra={"pattern": _DIRECTIONS.pattern})
]
Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
Spacing = Annotated[float, Field(gt=0, le=100)]


class Sidecar(BaseModel):
    """Whose image it is, and what kind of object is made of it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        title="Penumbra image sidecar",
        serialize_by_alias=True,
    )

    kind: Annotated[Literal["secondary-capture", "dx"], Field(alias="as")] = "secondary-capture"
    """`secondary-capture`: an image without geometry. `dx`: a digital X-ray, for presentation."""
    PatientID: Annotated[LongText, Field(min_length=1)]
    PatientName: Annotated[str, AfterValidator(_plain), AfterValidator(_person)] = ""
    PatientBirthDate: Date | None = None
    PatientSex: Literal["M", "F", "O"] | None = None
    AccessionNumber: ShortText = ""
    StudyID: ShortText = ""
    StudyDescription: LongText = ""
    StudyDate: Date | None = None
    StudyTime: Time | None = None
    ReferringPhysicianName: Annotated[str, AfterValidator(_plain), AfterValidator(_person)] = ""
    SeriesDescription: LongText = ""
    SeriesNumber: Number | None = None
    InstanceNumber: Number | None = None
    Modality: Code | None = None
    """Of a secondary capture; OT by default. An X-ray's is DX."""
    BodyPartExamined: Code | None = None
    Laterality: Literal["L", "R", "B", "U"] | None = None
    """Left, right, both; U: unpaired."""
    ViewPosition: Code | None = None
    PatientOrientation: Directions | None = None
    """Of rows and columns, as in `L\\F`."""
    ImagerPixelSpacing: tuple[Spacing, Spacing] | None = None
    """Row and column spacing in millimetres at the detector."""
    BurnedInAnnotation: Literal["YES", "NO"] = "YES"
    """Whether the pixels hold text that tells who the patient is. Nobody knows: YES."""
    StudyInstanceUID: Uid | None = None
    SeriesInstanceUID: Uid | None = None
    SOPInstanceUID: Uid | None = None

    @model_validator(mode="after")
    def _of_an_x_ray(self) -> Self:
        if self.kind != "dx":
            return self
        needed = ("ImagerPixelSpacing", "PatientOrientation", "Laterality")
        if missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f'"as": "dx" needs {", ".join(missing)} too')
        if self.Modality not in {None, "DX"}:
            raise ValueError('"as": "dx" has the Modality DX')
        return self


def read(text: bytes) -> Sidecar:
    """Read a sidecar. Raises CannotUnderstand with everything that is wrong with it."""
    if len(text) > MOST_BYTES:
        raise CannotUnderstand(f"the sidecar has more than {MOST_BYTES >> 10} KiB")
    text = text.removeprefix(b"\xef\xbb\xbf")
    try:
        said = Sidecar.model_validate_json(text, strict=True)
    except ValidationError as fault:
        words = [
            f"{'.'.join(map(str, place)) or 'the whole'} {said}"
            for place, said in explain(fault, Sidecar)
        ]
        raise CannotUnderstand("the sidecar cannot be used: " + "; ".join(words)) from None
    if twice := _said_twice(text):
        raise CannotUnderstand(f"the sidecar cannot be used: {twice} is said twice")
    return said


def _said_twice(text: bytes) -> str:
    """Find a key that stands twice: which of its values counts, readers of JSON do not agree on."""
    found: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        count = Counter(key for key, _ in pairs)
        found.extend(key for key in count if count[key] > 1)

    json.loads(text, object_pairs_hook=note)
    return found[0] if found else ""


def json_schema() -> dict[str, Any]:
    """Give the schema (JSON Schema 2020-12) that `penumbra schema sidecar` prints."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Sidecar.model_json_schema(by_alias=True),
    }
