#!/bin/sh
# Make the environment of the Triton server: .venv-triton beside Penumbra's own .venv.
#   deploy/setup-triton.sh            (or: PENUMBRA_TRITON_ENV=/opt/triton deploy/setup-triton.sh)
# Running it again costs nothing: a stamp inside the environment says what it was made from.
# PENUMBRA_TRITON_PYTHON chooses the interpreter; otherwise the first of python3.11, python3.12,
# python3 that works. numpy < 2 has wheels up to Python 3.12; 3.13 needs a C and a C++ compiler.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
env=${PENUMBRA_TRITON_ENV:-$root/.venv-triton}
requirements=$root/ai/serving/requirements.txt
stamp=$env/.penumbra-stamp
wanted=$(cksum <"$requirements")

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x "$env/bin/python" ]; then
    echo "Triton: $env is ready"
    exit 0
fi
if [ "$(uname -s)/$(uname -m)" != Linux/x86_64 ]; then
    echo "Triton: the nvidia-pytriton wheel is for Linux on x86-64; use a Triton container here" >&2
    exit 1
fi

works() { # an interpreter that PyPI has wheels for and that can make environments
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
        >/dev/null 2>&1
}
python=
for candidate in ${PENUMBRA_TRITON_PYTHON:-python3.11 python3.12 python3 "$root/.venv/bin/python" python3.13}; do
    if works "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Triton: needs Python 3.11 to 3.13 with venv (Debian: apt-get install python3-venv)," \
        "or PENUMBRA_TRITON_PYTHON=/path/to/python" >&2
    exit 1
fi

echo "Triton: making $env with $("$python" --version) (about 25 s, 510 MB)"
if [ -e "$env" ] && [ ! -f "$env/pyvenv.cfg" ]; then
    echo "Triton: $env exists and is no virtual environment; choose another PENUMBRA_TRITON_ENV" >&2
    exit 1
fi
rm -rf -- "$env"
"$python" -m venv -- "$env"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
printf '%s\n' "$wanted" >"$stamp"
echo "Triton: $env is ready"
