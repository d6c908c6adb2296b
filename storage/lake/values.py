"""DICOM text as a lake's values: what does not fit its type is NULL, and its text in the head."""

import datetime as dt
import re
from typing import Final

from dicom import matching
from dicom.attributes import Attribute
from dicom.head import Texts
from storage.lake.tables import attributes

Value = str | int | float | bool | dt.date | dt.datetime | None

_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,12}")
_ATTRIBUTES: Final = attributes()


def described(texts: Texts) -> dict[str, Value]:
    """Give the columns of a metadata row that an object's own head fills."""
    return {one.keyword: value_of(one, texts.get(one.keyword, "")) for one in _ATTRIBUTES}


def value_of(attribute: Attribute, text: str) -> Value:
    """Turn an attribute's text into its column's type; None where it is unknown or wrong."""
    if not text:
        return None
    if attribute.vr in matching.MOMENT_VRS:
        moment = matching.moment(attribute.vr, text)
        return moment.isoformat() if isinstance(moment, dt.time) else moment
    if attribute.vr in matching.INTEGER_VRS:
        return int(text) if _WHOLE.fullmatch(text) else None
    return text


def moment_of(seconds: float) -> dt.datetime:
    """Turn seconds since the epoch into a moment in UTC, as Parquet has them."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).replace(tzinfo=None)
