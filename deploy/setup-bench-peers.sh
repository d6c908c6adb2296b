#!/bin/sh
# Make .venv-bench-peers, the environment of the S3 client that bench.forward measures beside ours.
# It is no part of the node, which reaches buckets by obstore alone.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$here")
env=$root/.venv-bench-peers
wanted='boto3>=1.40'
stamp=$env/.penumbra-stamp

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
echo "S3 client for the benchmark: making $env"
rm -rf -- "$env"
"$root/.venv/bin/python" -m venv -- "$env"
# shellcheck disable=SC2086  # several words on purpose
"$env/bin/python" -m pip install -qq --disable-pip-version-check $wanted
printf '%s\n' "$wanted" >"$stamp"
