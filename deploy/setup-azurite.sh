#!/bin/sh
# Install azurite, the Azure Blob Storage that tests talk to, from npm into .azurite/ (186 MB, 15 s).
#   deploy/setup-azurite.sh           (NO_NPM=1 leaves the machine as it is)
# Never fails: what cannot be installed is named in one line, with what is then left out.
set -eu

version=3.35.0
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=$(dirname -- "$here")/.azurite
stamp=$folder/version

without() {
    echo "Peers: no azurite ($1): tests with Azure are skipped"
    exit 0
}

if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$version" ]; then exit 0; fi
[ -z "${NO_NPM:-}" ] || without "NO_NPM is set"
command -v npm >/dev/null 2>&1 || without "npm is missing: apt-get install npm"
mkdir -p "$folder"
# Its packages' scripts are not run: none is needed, and they are other people's.
if ! why=$(npm install --prefix "$folder" --no-save --no-audit --no-fund --ignore-scripts \
    --loglevel=error "azurite@$version" 2>&1); then
    without "npm: $(printf '%s\n' "$why" | tail -n 1)"
fi
echo "$version" >"$stamp"
