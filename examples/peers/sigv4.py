"""The other side of AWS Signature Version 4: whether a request is signed, by hashlib alone.

Written from AWS's description of the signature, so that it can contradict whoever signs.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

_FORM = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<scope>[^,]+), "
    r"SignedHeaders=(?P<names>[^,]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_DATE = re.compile(r"\d{8}T\d{6}Z")
DRIFT_S = 300.0
"""So far may the clocks of the two be apart."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who may ask, and of what."""

    key: str
    secret: str
    region: str = "eu-central-1"
    service: str = "sagemaker"
    session: str = ""
    """The session's token, for credentials that end."""


def fault(
    account: Account,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
) -> str:
    """Say what is wrong with a request's signature; "" for nothing.

    `target` is what stood in the request line, `headers` are named in small letters, `now` is in
    seconds since the epoch.
    """
    found = _FORM.fullmatch(headers.get("authorization", ""))
    if found is None:
        return "Missing Authentication Token"
    if words := _unfit(account, found, headers, now):
        return words
    url = urlsplit(target)
    names = found["names"].split(";")
    canonical = "\n".join([
        method,
        quote(url.path, safe="/~"),
        "&".join(sorted(url.query.split("&"))),
        *(f"{name}:{' '.join(headers[name].split())}" for name in names),
        "",
        ";".join(names),
        hashlib.sha256(body).hexdigest(),
    ])  # fmt: skip
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    said = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{found['scope']}\n{digest}"
    key = f"AWS4{account.secret}".encode()
    for part in found["scope"].split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(key, said.encode(), "sha256").hex(), found["signature"]):
        return "The request signature we calculated does not match the signature you provided."
    return ""


def _unfit(account: Account, found: re.Match[str], headers: Mapping[str, str], now: float) -> str:
    """Say what is wrong with what a signature says of itself."""
    at = headers.get("x-amz-date", "")
    if not _DATE.fullmatch(at) or abs(_seconds(at) - now) > DRIFT_S:
        return "Signature expired."
    if found["key"] != account.key or headers.get("x-amz-security-token", "") != account.session:
        return "The security token included in the request is invalid."
    if found["scope"] != f"{at[:8]}/{account.region}/{account.service}/aws4_request":
        return "Credential should be scoped to a valid region and service."
    names = found["names"].split(";")
    must = {"host"} | {name for name in headers if name.startswith("x-amz-")}
    whole = must <= set(names) <= headers.keys() and names == sorted(names)
    return "" if whole else "Not all that must be signed is signed."


def _seconds(date: str) -> float:
    return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
