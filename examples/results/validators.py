"""Validators that were written by others: dciodvfy, DCMTK's tools, PixelMed, highdicom's readers.

Each takes a file and gives the errors that it finds, a line each; none means that it is content.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import highdicom
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ParametricMapStorage, SegmentationStorage

PIXELMED: Final = Path("/usr/share/java/pixelmed.jar")
PIXELMED_PACKAGES: Final = "libpixelmed-java default-jre-headless"
_JARS: Final = tuple(PIXELMED.with_name(name) for name in ("vecmath.jar", "commons-codec.jar"))
_JAVA: Final = (
    "java",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    # Its templates are larger than what Java's XPath takes by default.
    *(f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("TotalOp", "ExprOp", "ExprGrp")),
)
_GROUP: Final = re.compile(r"Template 14(?:10|11) .*within ([\d.]+): .*Missing conditional")
_TID_310: Final = re.compile(r"NUM \((?:371886008|371885007),SCT,.*Incorrect relationship")
_NO_ASCII: Final = re.compile(r"does not conform[^\0]*Attribute value   : [^\0]*[^\0-\x7f]")
_LONGEST_S: Final = 120


def dciodvfy(path: Path) -> list[str]:
    """Check an object against its IOD, with the checker of the test extra dicom3tools."""
    checker = Path(sys.executable).with_name("dciodvfy")
    said = _said([checker, "-new", path])
    if not said:
        return ["dciodvfy said nothing"]
    return [row for row in said if row.startswith("Error")]


def has_dcmtk() -> bool:
    """Whether DCMTK's tools are there (Debian: dcmtk)."""
    return shutil.which("dsrdump") is not None and shutil.which("dcmpschk") is not None


def dsrdump(path: Path) -> list[str]:
    """Let DCMTK parse and print a report."""
    done = subprocess.run(["dsrdump", path], capture_output=True, check=False, timeout=_LONGEST_S)
    rows = done.stderr.decode("utf-8", "replace").splitlines()
    return [row for row in rows if row.startswith("E:")] or ["failed"] * bool(done.returncode)


def dcmpschk(path: Path) -> list[str]:
    """Let DCMTK check a presentation state.

    Its check of values does not know ISO_IR 192, as it says itself, and takes every letter beyond
    ASCII for an error: such a complaint is passed over.
    """
    said = _said(["dcmpschk", path])
    if any("Test passed" in row for row in said):
        return []
    text = "\n".join(row.removeprefix("E: ").removeprefix("E:") for row in said)
    faults = text.split("Error: ")[1:]
    return [fault for fault in faults if not _NO_ASCII.search(fault)] if faults else said


def has_pixelmed() -> bool:
    """Whether PixelMed and a Java are there (Debian: libpixelmed-java, default-jre-headless)."""
    return PIXELMED.exists() and shutil.which("java") is not None


def pixelmed(path: Path) -> list[str]:
    """Check a report against its templates with PixelMed's DicomSRValidator.

    Two of its complaints are no errors of the report. It takes the first template for regions that
    a report uses as that of all groups: a complaint that a group lacks a region is passed over
    where the group says that it is of TID 1501, which has none. And it does not know that a
    number may have a range of uncertainty as its property (TID 310).
    """
    classpath = ":".join(str(jar) for jar in (PIXELMED, *_JARS))
    said = _said([*_JAVA, "-cp", classpath, "com.pixelmed.validate.DicomSRValidator", path])
    if not any("IOD validation complete" in row for row in said):
        return said or ["PixelMed said nothing"]
    report = dcmread(path)
    return [row for row in said if row.startswith("Error") and not _is_allowed(report, row)]


def _is_allowed(report: Dataset, complaint: str) -> bool:
    if _TID_310.search(complaint):
        return True
    found = _GROUP.search(complaint)
    if found is None:
        return False
    item = report
    for place in found[1].split(".")[1:]:
        item = item.ContentSequence[int(place) - 1]
    return bool(item.ContentTemplateSequence[0].TemplateIdentifier == "1501")


def readable(path: Path) -> list[str]:
    """Let highdicom read a Segmentation or Parametric Map back, pixels and all."""
    try:
        sop_class_uid = dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID
        if sop_class_uid == SegmentationStorage:
            _ = highdicom.seg.segread(path).get_tracking_ids()
        if sop_class_uid == ParametricMapStorage:
            _ = highdicom.imread(path).get_volume()
        _ = dcmread(path).pixel_array
    except Exception as fault:  # noqa: BLE001  (whatever it raises is what it finds)
        return [f"{type(fault).__name__}: {fault}"]
    return []


def _said(command: list[str | Path] | tuple[str | Path, ...]) -> list[str]:
    done = subprocess.run(command, capture_output=True, check=False, timeout=_LONGEST_S)
    return (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
