"""Say in words why a TLS handshake failed and what mends it, and read a client's name; pure."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Failure:
    """Why no TLS came about."""

    kind: str
    """A stable name for the metrics."""
    words: str
    fix: str
    is_common: bool = False
    """Whether a mere probe of the port looks the same."""


_LEFT: Final = Failure(
    "gone",
    "the peer closed before TLS was agreed",
    "none is needed for a probe of the port; a DICOM client says in its own log why it left",
    is_common=True,
)
_SILENT: Final = Failure(
    "silent",
    "the peer began no TLS, or did not go on with it, in time",
    "look whether the client is set to TLS and whether a firewall holds its packets back",
)
_NO_TLS: Final = Failure(
    "no TLS",
    "the peer speaks without TLS",
    "switch TLS on at the client, or let it call the port without TLS ([node] port)",
)
_VERSION: Final = Failure(
    "version",
    "the peer's TLS versions are not allowed here",
    "update the client to TLS 1.2 or 1.3, and compare [tls] minimum",
)
_CIPHER: Final = Failure(
    "cipher",
    "the peer offers no cipher suite that is allowed here",
    "allow ECDHE with AES-GCM or ChaCha20 at the client, and a curve that both sides know",
)
_NO_CERTIFICATE: Final = Failure(
    "no client certificate",
    "the peer shows no certificate",
    "give the client a certificate of the authority in [tls] client_ca, with its key",
)
_OURS_REFUSED: Final = Failure(
    "refused by the client",
    "the peer does not accept this node's certificate",
    "give the client the authority that issued [tls] certificate, and call the node by a name"
    " in it",
)

_BY_REASON: Final[Mapping[str, Failure]] = {
    "HTTP_REQUEST": _NO_TLS,
    "HTTPS_PROXY_REQUEST": _NO_TLS,
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _VERSION,
    "VERSION_TOO_LOW": _VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _VERSION,
    "INAPPROPRIATE_FALLBACK": _VERSION,
    "NO_SHARED_CIPHER": _CIPHER,
    "NO_SUITABLE_KEY_SHARE": _CIPHER,
    "NO_SHARED_SIGNATURE_ALGORITHMS": _CIPHER,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": _CIPHER,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _CIPHER,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": _NO_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _OURS_REFUSED,
    "TLSV1_ALERT_ACCESS_DENIED": _OURS_REFUSED,
    "TLSV1_ALERT_DECRYPT_ERROR": _OURS_REFUSED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _OURS_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _OURS_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _OURS_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _OURS_REFUSED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _OURS_REFUSED,
    "UNEXPECTED_EOF_WHILE_READING": _LEFT,
}


def explain(fault: OSError | None) -> Failure:
    """Say why a handshake ended with this; None means that it did not end in time."""
    if fault is None:
        return _SILENT
    if isinstance(fault, ssl.SSLCertVerificationError):
        return _certificate(fault.verify_code, fault.verify_message)
    if not isinstance(fault, ssl.SSLError) or isinstance(
        fault, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError
    ):
        return _LEFT
    reason = str(fault.reason or "unknown reason")
    return _BY_REASON.get(reason) or Failure(
        "other",
        f"TLS could not be agreed ({reason})",
        "compare the client's TLS settings with [tls] of the config file",
    )


def _certificate(code: int, message: str) -> Failure:
    """Say why a client's certificate was refused; the codes are those of OpenSSL's x509_vfy.h."""
    if code == 10:
        fix = "renew the client's certificate"
    elif code == 9:
        fix = "compare the clocks of both machines"
    else:
        fix = (
            "have the client's certificate issued by an authority in [tls] client_ca,"
            " for client authentication, with its intermediate certificates beside it"
        )
    return Failure("client certificate", f"the peer's certificate is refused: {message}", fix)


def name_of(certificate: Mapping[str, Any]) -> str | None:
    """Read the name of a verified certificate, as SSLSocket.getpeercert() gives it.

    That is its first DNS name, or its common name where it has none; None without either.
    """
    for kind, value in certificate.get("subjectAltName", ()):
        if kind == "DNS":
            return str(value)
    names = [
        value
        for attributes in certificate.get("subject", ())
        for key, value in attributes
        if key == "commonName"
    ]
    return str(names[-1]) if names else None
