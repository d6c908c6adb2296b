"""Ask a real Triton about arrays, without the node: what tests of single models need."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpcclient
from tritonclient.utils import np_to_triton_dtype

from ai import server


def linked(folder: Path, names: Iterable[str]) -> Path:
    """Make a model repository of links to some reference models: each model costs a process."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).symlink_to(server.REFERENCE_REPOSITORY / name)
    return folder


class Asker:
    """One connection to one server."""

    def __init__(self, endpoint: str):
        self._client = grpcclient.InferenceServerClient(endpoint)

    def ask(self, model: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Send arrays by input name; get arrays by output name. Raises what tritonclient raises."""
        inputs = []
        for name, array in arrays.items():
            one = grpcclient.InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
            one.set_data_from_numpy(np.ascontiguousarray(array))
            inputs.append(one)
        answer = self._client.infer(model, inputs)
        names = [output.name for output in answer.get_response().outputs]
        return {name: answer.as_numpy(name) for name in names}

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def words(answer: Mapping[str, np.ndarray]) -> str:
    """Give the words of a refusal, "" where there is none."""
    return b" ".join(sorted({each for each in answer["refusal"].ravel() if each})).decode()
