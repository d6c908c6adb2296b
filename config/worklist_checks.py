"""Check what the [worklist] table says: addresses, titles, character set."""

from typing import Final

from config import addresses
from config.tables import Found, Tables, table, texts
from dicom import ae

HL7_CHARSETS: Final = {
    "ASCII": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "ISO IR6": "ascii",
    "ISO IR14": "shift_jis",
    "ISO IR87": "iso2022_jp",
    "ISO IR159": "iso2022_jp_2",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "ISO-8859-1": "iso8859-1",
}
"""What HL7 table 0211, and many a sender, calls a character set, and what Python does."""


def check(tables: Tables) -> Found:
    """Yield each fault as its place and words."""
    worklist = table(tables, "worklist")
    for modality, title in table(worklist, "stations").items():
        if isinstance(title, str) and not ae.is_valid(title):
            yield ("worklist", "stations", modality), "is no AE title (PS3.5 6.2)"
    hl7 = table(worklist, "hl7")
    for i, text in texts(hl7.get("addresses")):
        try:
            addresses.parse(text)
        except ValueError as fault:
            yield ("worklist", "hl7", "addresses", i), str(fault)
    charset = hl7.get("charset")
    if isinstance(charset, str) and charset not in HL7_CHARSETS:
        yield ("worklist", "hl7", "charset"), f"must be one of {', '.join(HL7_CHARSETS)}"
