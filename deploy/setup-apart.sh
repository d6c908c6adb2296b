#!/bin/sh
# Make an environment of its own, beside .venv, for tools that a benchmark measures: they are no part
# of the node, and some would not live beside what it uses.
#   deploy/setup-apart.sh FOLDER REQUIREMENT...
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$here")
env=$root/$1
shift
wanted=$*
stamp=$env/.penumbra-stamp

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
echo "Tools of their own: making $env"
rm -rf -- "$env"
"$root/.venv/bin/python" -m venv -- "$env"
"$env/bin/python" -m pip install -qq --disable-pip-version-check "$@"
printf '%s\n' "$wanted" >"$stamp"
