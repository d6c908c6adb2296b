#!/bin/sh
# Make the environment that trains cxr_five: .venv-training, with PyTorch. Neither the node nor its
# tests need it.
#   deploy/setup-training.sh          (or: PENUMBRA_TRAINING_ENV=/opt/training deploy/setup-training.sh)
# PyTorch's build for CPUs is enough. Where pip's index has builds for GPUs alone, several GB come
# with it; name an index of CPU builds then: PIP_EXTRA_INDEX_URL=... deploy/setup-training.sh
# PENUMBRA_TRAINING_PYTHON chooses the interpreter, PENUMBRA_TORCH another version of PyTorch.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
env=${PENUMBRA_TRAINING_ENV:-$root/.venv-training}
python=${PENUMBRA_TRAINING_PYTHON:-python3.11}
torch=${PENUMBRA_TORCH:-torch==2.13.0}
stamp=$env/.penumbra-stamp
wanted="$torch onnxscript numpy"

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x "$env/bin/python" ]; then
    echo "training: $env is ready"
    exit 0
fi
if [ -e "$env" ] && [ ! -f "$env/pyvenv.cfg" ]; then
    echo "training: $env exists and is no virtual environment; choose another PENUMBRA_TRAINING_ENV" >&2
    exit 1
fi
if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    echo "training: needs a Python with venv, or PENUMBRA_TRAINING_PYTHON=/path/to/python" >&2
    exit 1
fi
echo "training: making $env with $("$python" --version) (about a minute; 1 GB for CPUs)"
rm -rf -- "$env"
"$python" -m venv -- "$env"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check "$torch" "onnxscript>=0.5" "numpy>=2.1"
printf '%s\n' "$wanted" >"$stamp"
echo "training: $env is ready; $env/bin/python -m ai.training --help"
