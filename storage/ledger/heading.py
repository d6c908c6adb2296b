"""Make the heads of stored objects for the index, each as its difference from one before it."""

import json
from collections import OrderedDict
from typing import Final

from dicom import json_patch
from dicom.errors import Fault
from dicom.json_head import head_parts
from dicom.json_text import Parts, head_text
from storage.index.heads import HeadRow
from storage.spool.reader import SpoolReader
from storage.spool.record import Record

LIMIT_BYTES: Final = 1 << 20
"""An object that describes itself in more has no head in the index: it is read when asked for."""
_MOST_BASES: Final = 128
_SERIES_INSTANCE_UID: Final = 0x0020_000E


class Heading:
    """Remembers one head of each Series, from which others are told by difference.

    Whoever asks must store each answer, and in order: later ones refer to it.
    """

    def __init__(self, reader: SpoolReader) -> None:
        self._reader = reader
        self._bases: OrderedDict[str, tuple[str, Parts]] = OrderedDict()

    def head(self, record: Record) -> HeadRow | None:
        """Make the head of one object; None where it has none that could be kept."""
        try:
            with self._reader.open(record.location) as stream:
                syntax = record.arrival.transfer_syntax_uid
                parts = head_parts(stream, syntax, limit_bytes=LIMIT_BYTES)
        except Fault:
            return None
        except Exception:  # noqa: BLE001  (one strange object shall not stop all others)
            return None
        series = _series_of(parts)
        uid = record.arrival.sop_instance_uid
        if series in self._bases:
            base, others = self._bases[series]
            text = json_patch.patch_text(others, parts)
            if text is not None:
                self._bases.move_to_end(series)
                return HeadRow(series, uid, base, text)
        self._bases[series] = uid, parts
        if len(self._bases) > _MOST_BASES:
            self._bases.popitem(last=False)
        return HeadRow(series, uid, None, head_text(parts))


def _series_of(parts: Parts) -> str:
    values = json.loads(f"{{{parts.get(_SERIES_INSTANCE_UID, '')}}}")
    found = values.get(f"{_SERIES_INSTANCE_UID:08X}", {}).get("Value", [""])
    return str(found[0])
