#!/bin/sh
# Make .venv-bench-peers, the environment of the S3 client that bench.forward measures beside ours.
# It is no part of the node, which reaches buckets by obstore alone.
set -eu
exec "$(dirname -- "$0")/setup-apart.sh" .venv-bench-peers 'boto3>=1.40'
