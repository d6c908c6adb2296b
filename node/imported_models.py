"""Take a version of a model out of MLflow's registry, into a Triton repository; MLflow's home.

MLflow is an optional extra: `pip install "penumbra-node[mlflow]"`.
"""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom.errors import ConfigFault, DoesNotMatch, Refused, Unreachable

FILE: Final = "model.onnx"
_NOT_THERE: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"})


@dataclass(frozen=True, slots=True)
class Imported:
    """A model's file as it lies in the repository, and where it came from."""

    file: Path
    source: str


def fetch(server: str, registered: str, number: str, target: Path) -> Imported:
    """Fetch the ONNX file of a registered version to `target`, a version's folder.

    Nothing that is there is written over. Raises ConfigFault without MLflow, DoesNotMatch where
    there is no such version, Refused where it holds not one ONNX file or the folder is taken,
    Unreachable where the server does not answer.
    """
    if target.exists():
        raise Refused(f"{target} is there already: a version's number stands for one file for ever")
    try:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as fault:
        words = 'needs MLflow: pip install "penumbra-node[mlflow]"'
        raise ConfigFault([("--mlflow", words)]) from fault
    with tempfile.TemporaryDirectory() as folder:
        try:
            client = MlflowClient(tracking_uri=server, registry_uri=server)
            known = client.get_model_version(registered, number)
            place = client.get_model_version_download_uri(registered, number)
            download_artifacts(artifact_uri=place, dst_path=folder, tracking_uri=server)
        except MlflowException as fault:
            if fault.error_code in _NOT_THERE:
                words = f"MLflow at {server} has no version {number} of {registered}"
                raise DoesNotMatch(words) from fault
            raise Unreachable(f"MLflow at {server}: {fault.error_code}") from fault
        except OSError as fault:
            raise Unreachable(f"MLflow at {server}: {type(fault).__name__}") from fault
        found = sorted(Path(folder).rglob("*.onnx"))
        if len(found) != 1:
            words = f"{registered} version {number} holds {len(found)} ONNX files, not one"
            raise Refused(words)
        target.mkdir(parents=True)
        file = target / FILE
        shutil.copyfile(found[0], file)
    return Imported(file, f"MLflow {registered} version {number}, run {known.run_id or '-'}")
