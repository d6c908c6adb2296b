"""Read the certificate, key and client authorities of [tls], and say everything wrong with them.

What `penumbra check` says and what the node uses are the same: a context of the standard library
is made in both cases. cryptography reads what that does not tell: dates, and whose key it is.
"""

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from config import secrets
from config.model import Tls
from config.shapes import ClientTls, Secret
from dicom.errors import ConfigFault

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=2"
"""Of TLS 1.2, what BCP 195 (RFC 9325) leaves: forward secrecy and authenticated encryption, no
downgrade (PS3.15 B.9 to B.13). All suites of TLS 1.3 have both."""

_VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_WEAK: Final = {
    "EE_KEY_TOO_SMALL": "is too weak: RSA needs 2048 bits, an elliptic curve 224",
    "CA_KEY_TOO_SMALL": "comes with an issuer whose key is too weak: RSA needs 2048 bits",
    "CA_MD_TOO_WEAK": "is signed with a digest that nobody should trust; SHA-256 is enough",
}

Problem = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a TLS port needs, read at one moment."""

    context: ssl.SSLContext
    expires_at: float
    """When the first certificate of the node's chain ends; seconds since the epoch, UTC."""


def load(tls: Tls, now: float) -> Certificates:
    """Read the files of [tls]. Raises ConfigFault with everything that is wrong with them."""
    if found := list(problems(tls, now)):
        raise ConfigFault([(f"tls.{key}", words) for key, words in found])
    try:
        chain = x509.load_pem_x509_certificates(tls.certificate.read_bytes())
        ends = min(each.not_valid_after_utc.timestamp() for each in chain)
        return Certificates(_context(tls), ends)
    except (OSError, ValueError) as fault:  # it is another file than the one just checked
        words = f"a file of [tls] changed while it was read ({type(fault).__name__}); try again"
        raise ConfigFault([("tls", words)]) from fault


def problems(tls: Tls, now: float) -> Iterator[Problem]:
    """Yield each fault of the files of [tls] as the key and words that name the fix."""
    foreign = (
        f"the first certificate in {tls.certificate} does not belong to the key {tls.key};"
        " put the node's own first and its issuers after it, or name the key it was made with"
    )
    found = list(_pair(tls.certificate, tls.key, now, foreign))
    if tls.client_ca and (words := _authority_words(tls.client_ca, now)):
        found.append(("client_ca", words))
    yield from found or _refused(tls)


def client(tls: ClientTls) -> ssl.SSLContext:
    """Make the context for calling servers: certificate and name verified, or no connection.

    Raises ConfigFault with everything that is wrong with the files.
    """
    if found := list(client_problems(tls, time.time())):
        raise ConfigFault([(f"tls.{key}", words) for key, words in found])
    try:
        return _client_context(tls)
    except OSError as fault:
        words = f"is refused by OpenSSL ({getattr(fault, 'reason', None) or type(fault).__name__})"
        raise ConfigFault([("tls", words)]) from fault


def client_problems(tls: ClientTls, now: float) -> Iterator[Problem]:
    """Yield each fault of the files that a client uses, as the key and words that name the fix."""
    if tls.ca is not None and (words := _authority_words(tls.ca, now)):
        yield "ca", words
    if (tls.certificate is None) != (tls.key is None):
        missing = "key" if tls.key is None else "certificate"
        yield missing, "is missing: certificate and key go together"
        return
    if tls.certificate is not None and tls.key is not None:
        foreign = f"the first certificate in {tls.certificate} does not belong to {tls.key}"
        yield from _pair(tls.certificate, tls.key, now, foreign)


def _pair(certificate: Path, key_file: Path, now: float, foreign: str) -> Iterator[Problem]:
    """Yield what is wrong with a certificate and its key; `foreign` is for two that do not fit."""
    key_words, key = _key(key_file)
    if key_words:
        yield "key", key_words
    words, chain = _chain(certificate)
    words = words or _date_words(certificate, chain, now)
    if key is not None and not words and not _belong(key, chain[0]):
        words = foreign
    if words:
        yield "certificate", words


def _client_context(tls: ClientTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    if tls.ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(tls.ca)
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key, password="")
    return context


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.minimum]
    context.set_ciphers(CIPHERS)
    # No tickets: their key would lie in memory for as long as the node runs, and those of TLS 1.3
    # come when a client may have said all and closed, which would then reset the connection.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    # The empty passphrase: OpenSSL would ask for one at the terminal.
    context.load_cert_chain(tls.certificate, tls.key, password="")
    if tls.client_ca is not None:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _refused(tls: Tls) -> Iterator[Problem]:
    """Yield what OpenSSL holds against files that are sound by themselves."""
    try:
        _context(tls)
    except OSError as fault:  # an SSLError is one
        reason = str(getattr(fault, "reason", None) or type(fault).__name__)
        words = _WEAK.get(reason, f"is refused by OpenSSL ({reason})")
        yield "certificate", f"{tls.certificate} {words}; have a new one issued"


def _key(file: Path) -> tuple[str, PrivateKeyTypes | None]:
    """Read a private key: what is wrong with its file in words, or the key."""
    if words := secrets.problem(Secret(file=file)):
        return words, None
    try:
        return "", serialization.load_pem_private_key(file.read_bytes(), None)
    except TypeError:  # its way of saying that a passphrase is needed
        return (
            f"{file} is locked with a passphrase, and nobody is there to enter it;"
            f" run: openssl pkey -in {file} -out {file}.open && chmod 600 {file}.open"
        ), None
    except (ValueError, UnsupportedAlgorithm):
        return (
            f"{file} holds no private key in PEM form;"
            f" mend a DER file by: openssl pkey -inform der -in {file} -out {file}.pem"
        ), None
    except OSError as fault:
        return f"{file} cannot be read ({fault.strerror})", None


def _chain(file: Path) -> tuple[str, list[x509.Certificate]]:
    """Read certificates: what is wrong with their file in words, or they."""
    try:
        return "", x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as fault:
        return f"{file} cannot be read ({fault.strerror})", []
    except ValueError:
        return (
            f"{file} holds no certificate in PEM form;"
            f" mend a DER file by: openssl x509 -inform der -in {file} -out {file}.pem"
        ), []


def _authority_words(file: Path, now: float) -> str:
    """Say what is wrong with client_ca; one authority that is valid now is enough."""
    words, authorities = _chain(file)
    if not words and all(_date_words(file, [each], now) for each in authorities):
        return _date_words(file, authorities, now)
    return words


def _date_words(file: Path, chain: list[x509.Certificate], now: float) -> str:
    for each in chain:
        name = each.subject.rfc4514_string()
        begins, ends = each.not_valid_before_utc, each.not_valid_after_utc
        if ends.timestamp() <= now:
            return f"{name} in {file} expired at {ends:%Y-%m-%d %H:%M} UTC; have it issued anew"
        if begins.timestamp() > now:
            return (
                f"{name} in {file} is not valid before {begins:%Y-%m-%d %H:%M} UTC;"
                " wait, or set this machine's clock"
            )
    return ""


def _belong(key: PrivateKeyTypes, certificate: x509.Certificate) -> bool:
    try:
        return _encoded(key.public_key()) == _encoded(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):  # a kind of key that no TLS uses
        return False


def _encoded(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
