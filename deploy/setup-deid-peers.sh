#!/bin/sh
# Make .venv-deid-peers, the environment of the de-identification tools that bench.deid measures.
# They are no part of the node: one of them is a package of the same name as ours.
set -eu
exec "$(dirname -- "$0")/setup-apart.sh" .venv-deid-peers 'dicognito>=0.18' 'dicom-anonymizer>=1.0.13' 'deid>=0.4'
