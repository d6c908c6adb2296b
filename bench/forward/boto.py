"""Put files into a bucket with boto3, in a process of its own that is told when to go.

python boto.py ENDPOINT BUCKET THREADS   (with the interpreter of .venv-bench-peers)

Keys come by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. Every line on standard input is JSON: a
way, a prefix and files. It is answered with a line of JSON: seconds, and processor time of this
process.
"""

import base64
import hashlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

ALONE = TransferConfig(use_threads=False)
"""One file is one request: the threads are ours."""


def put(client, bucket, key, file) -> None:
    """Put a file, as the API is used most often."""
    client.put_object(Bucket=bucket, Key=key, Body=Path(file).read_bytes())


def upload(client, bucket, key, file) -> None:
    """Upload a file by boto3's own transfer manager."""
    client.upload_file(file, bucket, key, Config=ALONE)


def checked(client, bucket, key, file) -> None:
    """Create a file with its SHA-256, read it back whole and compare, as our worker does."""
    body = Path(file).read_bytes()
    digest = hashlib.sha256(body).digest()
    client.put_object(
        Bucket=bucket, Key=key, Body=body, IfNoneMatch="*", ContentType="application/dicom",
        ChecksumSHA256=base64.b64encode(digest).decode(),
    )  # fmt: skip
    back = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert hashlib.sha256(back).digest() == digest, key


WAYS = {"put": put, "upload": upload, "checked": checked}


def main() -> None:
    """Serve lines until standard input ends."""
    endpoint, bucket, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    settings = Config(
        max_pool_connections=threads, s3={"addressing_style": "path"},
        request_checksum_calculation="when_required", response_checksum_validation="when_required",
    )  # fmt: skip
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", config=settings)
    print(json.dumps({"version": boto3.__version__}), flush=True)
    with ThreadPoolExecutor(threads) as pool:
        for line in sys.stdin:
            wish = json.loads(line)
            way = partial(WAYS[wish["way"]], client, bucket)
            keys = [f"{wish['prefix']}/{Path(file).name}" for file in wish["files"]]
            began, used = time.perf_counter(), time.process_time()
            list(pool.map(way, keys, wish["files"]))
            answer = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - used}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
