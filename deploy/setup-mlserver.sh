#!/bin/sh
# Make .venv-mlserver, the environment of MLServer: another server that speaks KServe v2, which tests
# ask through the same client as Triton. It is no part of the node. (330 MB, 30 s)
#   deploy/setup-mlserver.sh
# Never fails: what cannot be installed is named in one line, with what is then left out.
set -eu
"$(dirname -- "$0")/setup-apart.sh" .venv-mlserver 'mlserver>=1.7,<2' ||
    echo "Peers: no MLServer: tests with it are skipped"
