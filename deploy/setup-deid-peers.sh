#!/bin/sh
# Make .venv-deid-peers, the environment of the de-identification tools that bench.deid measures.
# They are no part of the node: one of them is a package of the same name as ours.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$here")
env=$root/.venv-deid-peers
wanted='dicognito>=0.18 dicom-anonymizer>=1.0.13 deid>=0.4'
stamp=$env/.penumbra-stamp

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
echo "De-identification tools for the benchmark: making $env"
rm -rf -- "$env"
"$root/.venv/bin/python" -m venv -- "$env"
# shellcheck disable=SC2086  # several words on purpose
"$env/bin/python" -m pip install -qq --disable-pip-version-check $wanted
printf '%s\n' "$wanted" >"$stamp"
