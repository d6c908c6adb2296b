"""Answer with every kind of output: what is dark and what is bright in a volume."""

import numpy as np
import triton_python_backend_utils as pb_utils

DARK_HU, BRIGHT_HU = -400, 200


class TritonPythonModel:
    """Counts voxels. Refuses a volume whose first voxel is 3071, and falls over at 3070."""

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        volume, spacing, kvp = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in ("volume", "spacing", "kvp")
        )
        if volume[0, 0, 0] == 3070:
            raise RuntimeError("the model fell over")
        dark, bright = volume < DARK_HU, volume > BRIGHT_HU
        share = float(dark.mean())
        halves = dark.astype(np.float32)[:, : volume.shape[1] // 2 * 2, : volume.shape[2] // 2 * 2]
        z, y, x = np.unravel_index(int(volume.argmax()), volume.shape)
        vector = np.histogram(volume, bins=8, range=(-1024, 1024))[0] / volume.size
        refusal = "" if volume[0, 0, 0] != 3071 else "the first voxel is 3071"
        answers = {
            "dark_ml": np.array([dark.sum() * float(np.prod(spacing)) / 1000]),
            "which": np.array([share, 1 - share]),
            "segments": np.where(bright, 2, np.where(dark, 1, 0)).astype(np.uint8),
            "box": boxes(dark),
            "point": np.array([[z, y + 0.5, x + 0.5, 0.9]]),
            "draft": np.array(
                [f"Dark voxels make up {share:.0%} at {kvp[0]:g} kV.".encode()], dtype=object
            ),
            "where": (halves[:, ::2, ::2] + halves[:, 1::2, 1::2]) / 2,
            "vector": vector,
            "refusal": words(refusal),
        }
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, typed(array)) for name, array in answers.items()]
        )


def words(text):
    return np.array([text.encode()], dtype=object)


def typed(array):
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def boxes(dark):
    """A box around the darkest slice's dark voxels, and one too faint to be reported."""
    z = int(dark.sum(axis=(1, 2)).argmax())
    rows, columns = np.nonzero(dark[z])
    if not len(rows):
        return np.zeros((0, 6), dtype=np.float32)
    edges = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    return np.array([[z, *edges, 0.75], [z, *edges, 0.1]], dtype=np.float32)
