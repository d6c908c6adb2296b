"""Tables of the conformance statement: what DICOMweb retrieves, and in which forms; pure."""

from collections import defaultdict
from typing import Final

from dicom.transcode import EXPLICIT_LITTLE, IMPLICIT_LITTLE, name
from node.conformance_markdown import table
from node.web.dicomweb.negotiate import COMPRESSED, OCTETS
from node.web.dicomweb.retrieving import RETRIEVALS
from node.web.dicomweb.wish import FORMATS

_OBJECTS: Final = (
    'multipart/related; type="application/dicom"; application/zip; one alone: application/dicom',
    f"stored; {name(EXPLICIT_LITTLE)} (default), {name(IMPLICIT_LITTLE)} where that loses nothing",
)
_METADATA: Final = (
    'application/dicom+json; multipart/related; type="application/dicom+xml"',
    "none",
)
_PICTURES: Final = (f"{', '.join(FORMATS)}; also in multipart/related", "none")
_FRAMES: Final = (
    f"{OCTETS}, and those of the next table; in multipart/related, one frame also alone",
    f"{name(EXPLICIT_LITTLE)} (default), stored",
)
_BULK: Final = (
    f"{OCTETS}, also in multipart/related; compressed pixel data as its frames",
    f"{name(EXPLICIT_LITTLE)}; compressed pixel data stored",
)
_URI: Final = (f"application/dicom; {', '.join(FORMATS)}", _OBJECTS[1])
_FORMS: Final = {
    "metadata": _METADATA,
    "rendered": _PICTURES,
    "thumbnail": _PICTURES,
    "frames": _FRAMES,
    "bulkdata": _BULK,
    "wado": _URI,
}


def resources() -> str:
    """Write the table of what can be retrieved."""
    rows = []
    for path, _ in RETRIEVALS:
        words = [part for part in path.split("/") if part and not part.startswith("{")]
        rows.append((f"`{path}`", *_FORMS.get(words[-1], _OBJECTS)))
    return table(("Resource (GET, HEAD)", "Media types", "Transfer syntaxes"), rows)


def frames() -> str:
    """Write the table of media types of compressed frames."""
    found: dict[str, list[str]] = defaultdict(list)
    for uid, media_type in COMPRESSED.items():
        found[media_type].append(uid)
    rows = [(media_type, ", ".join(uids)) for media_type, uids in found.items()]
    return table(("Media type", "Transfer syntaxes as they are stored"), rows)
