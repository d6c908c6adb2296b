"""Serve ONNX files where Triton has no C++ ONNX Runtime backend (python-based Triton backend).

A model says `backend: "onnxruntime"` (or `platform: "onnxruntime_onnx"`), declares its tensors and
lays down VERSION/model.onnx, as the stock backend wants it: the same repository serves both. The
parameters intra_op_thread_count, inter_op_thread_count and execution_mode mean what they mean
there. Runs on the CPU; a stock Triton container with its own backend never sees this file.
"""

import json
import os

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

DEFAULT_FILE = "model.onnx"


class TritonPythonModel:
    """Triton's entry point: one instance of one model."""

    def initialize(self, args):
        """Load the model's file, and check that it has the tensors that the config declares."""
        config = json.loads(args["model_config"])
        name = config.get("default_model_filename") or DEFAULT_FILE
        path = os.path.join(args["model_repository"], args["model_version"], name)  # noqa: PTH118  (Triton gives text)
        options = _options(config.get("parameters", {}))
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.is_batched = config.get("max_batch_size", 0) > 0
        self.inputs = [one["name"] for one in config["input"]]
        self.types = {
            one["name"]: pb_utils.triton_string_to_numpy(one["data_type"])
            for one in config["output"]
        }
        _check("input", self.inputs, {one.name for one in self.session.get_inputs()}, exact=True)
        _check("output", self.types, {one.name for one in self.session.get_outputs()}, exact=False)

    def execute(self, requests):
        """Answer requests: joined into one run where the model takes batches, else one by one."""
        given = [self._given(request) for request in requests]
        wanted = [set(request.requested_output_names()) for request in requests]
        if not self.is_batched or len(requests) == 1:
            return [self._response(self._run(*pair)) for pair in zip(given, wanted, strict=True)]
        joined = {name: np.concatenate([one[name] for one in given]) for name in self.inputs}
        answer = self._run(joined, set().union(*wanted))
        counts = [len(next(iter(one.values()))) for one in given]
        ends = np.cumsum(counts)
        return [
            self._response({name: answer[name][end - count : end] for name in names})
            for names, count, end in zip(wanted, counts, ends, strict=True)
        ]

    def _given(self, request):
        arrays = {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in self.inputs
        }
        # ONNX strings are text, Triton's are bytes.
        return {
            name: np.char.decode(array.astype(np.bytes_), "utf-8").astype(object)
            if array.dtype == np.object_
            else array
            for name, array in arrays.items()
        }

    def _run(self, arrays, wanted):
        names = [name for name in self.types if name in wanted]
        return dict(zip(names, self.session.run(names, arrays), strict=True))

    def _response(self, answer):
        tensors = []
        for name, array in answer.items():
            if self.types[name] == np.object_:
                given = np.char.encode(array.astype(np.str_), "utf-8").astype(object)
            else:
                given = np.ascontiguousarray(array, dtype=self.types[name])
            tensors.append(pb_utils.Tensor(name, given))
        return pb_utils.InferenceResponse(output_tensors=tensors)


def _options(parameters):
    values = {key: one["string_value"] for key, one in parameters.items()}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(values.get("intra_op_thread_count", 0))
    options.inter_op_num_threads = int(values.get("inter_op_thread_count", 0))
    if values.get("execution_mode") == "1":
        options.execution_mode = onnxruntime.ExecutionMode.ORT_PARALLEL
    return options


def _check(what, declared, found, *, exact):
    # The reason reaches the operator: Triton shows it beside the model that did not load.
    missing = sorted(set(declared) - found)
    extra = sorted(found - set(declared)) if exact else []
    if missing or extra:
        raise ValueError(
            f"config.pbtxt and the ONNX file differ in their {what}s: "
            f"not in the file {missing}, not in config.pbtxt {extra}"
        )
