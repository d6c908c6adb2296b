#!/usr/bin/env python3
"""Make the secrets of compose.yaml in deploy/secrets, once; what is there is left as it is.

sudo deploy/make-secrets.py [FOLDER]

Each file belongs to the user of the container that reads it, and nobody else may. Keep a copy of
research_key: with another key the same patient gets another pseudonym.
"""

import base64
import hashlib
import json
import os
import secrets
import sys
from pathlib import Path

NODE, SEAWEEDFS, MOSQUITTO = 10001, 1000, 1883
ITERATIONS = 101
"""Of PBKDF2, as mosquitto_passwd uses; the password has 192 bits of chance."""


def mosquitto_line(user: str, password: str, salt: bytes) -> str:
    """Write a user and the hash of a password as mosquitto 2 reads them."""
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    encoded = (base64.b64encode(part).decode("ascii") for part in (salt, digest))
    return f"{user}:$7${ITERATIONS}${'$'.join(encoded)}\n"


def s3_identities(access_key: str, secret_key: str) -> str:
    """Name the one user of SeaweedFS's S3 door."""
    keys = [{"accessKey": access_key, "secretKey": secret_key}]
    return json.dumps({"identities": [{"name": "node", "credentials": keys, "actions": ["Admin"]}]})


def contents() -> dict[str, tuple[int, str]]:
    """Make all secrets anew: name, the user who reads it, content."""
    access_key, secret_key = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
    password = secrets.token_urlsafe(24)
    return {
        "research_key": (NODE, base64.b64encode(secrets.token_bytes(32)).decode("ascii") + "\n"),
        "s3_access_key": (NODE, access_key + "\n"),
        "s3_secret_key": (NODE, secret_key + "\n"),
        "s3_identities": (SEAWEEDFS, s3_identities(access_key, secret_key)),
        "mqtt_password": (NODE, password + "\n"),
        "mosquitto_passwords": (
            MOSQUITTO,
            mosquitto_line("penumbra", password, secrets.token_bytes(12)),
        ),
    }


def write(folder: Path) -> None:
    """Write all secrets, or none: some depend on each other."""
    made = contents()
    present = [name for name in made if (folder / name).exists()]
    if len(present) == len(made):
        return
    if present:
        sys.exit(f"{folder} holds only {', '.join(present)}: remove these, or put the rest back")
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, (user, content) in made.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "w") as file:
            os.fchown(descriptor, user, user)
            file.write(content)


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("the secrets belong to the users of the containers: run this as root")
    write(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "secrets")
