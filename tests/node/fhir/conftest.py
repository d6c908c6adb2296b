"""An index with odd Studies, and what says whether a resource is FHIR R4."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.operationoutcome import OperationOutcome

from config.fhir import Fhir
from dicom.entity import Arrival, Instance, Location
from node.fhir.desk import Desk
from storage.index.database import Index
from storage.ledger.ledger import Ledger

SCHEMA = Path(__file__).parents[3] / ".fhir" / "package" / "fhir.schema.json"
MODELS = {
    kind.__name__: kind for kind in (Bundle, CapabilityStatement, ImagingStudy, OperationOutcome)
}
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="session")
def schema_of() -> Callable[[str], Any]:
    """Give a validator of one kind of resource; None where the schema was not fetched."""
    if not SCHEMA.exists():
        return lambda _kind: None
    whole = json.loads(SCHEMA.read_text())
    assert whole["id"] == "http://hl7.org/fhir/json-schema/4.0"
    kinds: dict[str, Any] = {}

    def give(kind: str) -> Any:
        if kind not in kinds:
            definitions = {"definitions": whole["definitions"], "$ref": f"#/definitions/{kind}"}
            kinds[kind] = jsonschema.Draft6Validator(definitions)
        return kinds[kind]

    return give


@pytest.fixture(scope="session")
def valid(schema_of) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Hold a resource against the JSON schema of R4, and the models of fhir.resources."""

    def check(resource: dict[str, Any]) -> dict[str, Any]:
        kind = resource["resourceType"]
        MODELS[kind].model_validate(resource)
        validator = schema_of(kind)
        if kind == "CapabilityStatement":  # the schema is that of 4.0.0, which 4.0.1 mends
            assert resource["fhirVersion"] == "4.0.1"
            resource = {**resource, "fhirVersion": "4.0.0"}
        if validator is not None:
            wrong = [
                f"{'/'.join(map(str, each.path))}: {each.message}"
                for each in validator.iter_errors(resource)
            ]
            assert wrong == []
        return resource

    return check


def entry(number: int, received_at: float = 1.7e9, **keys: str) -> tuple[Instance, dict[str, str]]:
    """An object of Study 1.2 and Series 1.3 unless told otherwise."""
    uid = keys.get("SOPInstanceUID", f"1.9.{number}")
    sop_class = keys.get("SOPClassUID", CT)
    keys = {
        "StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "Modality": "CT", **keys,
        "SOPInstanceUID": uid, "SOPClassUID": sop_class,
    }  # fmt: skip
    arrival = Arrival(
        sop_class, uid, "1.2.840.10008.1.2.1", "SCANNER", "PENUMBRA", "a", "127.0.0.1", received_at
    )
    return Instance(arrival, Location("seg", number * 100, 100), f"{number:064x}"), keys


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Desk]]:
    """Make a desk over an index with these objects; keys are those of [fhir]."""
    made: list[Any] = []

    def make(*entries: tuple[Instance, dict[str, str]], **settings: Any) -> Desk:
        folder = tmp_path_factory.mktemp("desk")
        index = Index.open(folder / "index.duckdb")
        ledger = Ledger.open(folder / "var")
        made.append((index, ledger))
        index.add(list(entries), {})
        return Desk(Fhir(**settings), index, ledger.studies)

    yield make
    for index, ledger in made:
        index.close()
        ledger.close()


@pytest.fixture(scope="session")
def make_entry() -> Callable[..., Any]:
    """Make an object of an index."""
    return entry
