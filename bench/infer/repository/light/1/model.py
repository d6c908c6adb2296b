"""Answer the first voxel of each slice: one row for each, FP32 (z,)."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What Triton's python backend calls."""

    def execute(self, requests):
        """Answer each request with one number for each slice of its volume (z, y, x)."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        volume = pb_utils.get_input_tensor_by_name(request, "volume").as_numpy()
        level = np.ascontiguousarray(volume[:, 0, 0], dtype=np.float32)
        return pb_utils.InferenceResponse(output_tensors=[pb_utils.Tensor("level", level)])
