"""The specialties that the demo shows beside the chest CT: their phantoms, and what is reported."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from dicom.result_kinds import kind_of
from examples.demo.checks import Row, Run
from examples.demo.material import Sent
from examples.peers.pacs import Pacs
from examples.pipelines import answers
from examples.pipelines.cardiac import CARDIAC
from examples.pipelines.mammography import MAMMOGRAPHY
from examples.pipelines.neuro import NEURO
from examples.pipelines.specialty import Material, Specialty

SPECIALTIES = (CARDIAC, MAMMOGRAPHY, NEURO)


@dataclass(frozen=True, slots=True)
class Shown:
    """One specialty, and the phantom that was sent for it."""

    specialty: Specialty
    material: Material

    @property
    def sent(self) -> list[Sent]:
        """Its files as the demo's other objects are told."""
        return [_sent(path, self.material) for path in sorted(self.material.folder.rglob("*.dcm"))]


def write(scratch: Path) -> list[Shown]:
    """Write a phantom for each specialty."""
    return [Shown(one, one.write(scratch / one.name)) for one in SPECIALTIES]


def reported(shown: Sequence[Shown], where: Pacs) -> Iterator[Row]:
    """The PACS holds a report about each phantom, with numbers that are its truth."""
    results = [pydicom.dcmread(io.BytesIO(where.fetch(uid))) for uid in where.received()]
    results = [ds for ds in results if kind_of(ds.SOPClassUID)]
    for one in shown:
        mine = [ds for ds in results if ds.StudyInstanceUID == one.material.study_instance_uid]
        name = one.specialty.name
        for modality, least in one.specialty.objects.items():
            count = sum(ds.Modality == modality for ds in mine)
            words = f"{name}: {modality} at the PACS ({where.name})"
            yield Row(words, str(count), str(least), count >= least)
        said = answers.read([ds for ds in mine if ds.Modality == "SR"])
        for row in answers.compare(one.material.expected, said):
            yield Row(f"{name}: {row.what}", row.found, row.truth, row.ok, row.note)


def recorded(run: Run, shown: Sequence[Shown]) -> Iterator[Row]:
    """SQL knows of an inference that found something, for each model that was asked."""
    answer = run.node.run(
        "sql", "SELECT count(DISTINCT model) FROM inference WHERE outcome = 'found'",
        "--format", "csv",
    )  # fmt: skip
    found = answer.stdout.split()[-1] if answer.returncode == 0 else answer.stderr.strip()
    models = 1 + sum(len(one.specialty.models) for one in shown)  # beside the chest CT's
    words = "models that found something (penumbra sql)"
    yield Row(words, found, str(models), found == str(models))


def _sent(path: Path, material: Material) -> Sent:
    head = pydicom.dcmread(path, stop_before_pixels=True)
    uid = str(head.SOPInstanceUID)
    return Sent(
        path,
        uid,
        material.study_instance_uid,
        str(head.Modality),
        str(head.file_meta.TransferSyntaxUID),
        frozenset({*material.identity, uid}),
    )
