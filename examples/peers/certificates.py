"""Certificate authorities for tests and demonstrations: they issue to whoever asks."""

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)
KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its issuers after it, and its key, as PEM files."""

    certificate: Path
    key: Path


def write_key(file: Path, key: rsa.RSAPrivateKey, passphrase: bytes | None = None) -> None:
    """Write a key that only its owner may open."""
    locked = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    form = serialization.PrivateFormat.PKCS8
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(key.private_bytes(serialization.Encoding.PEM, form, locked))


class Authority:
    """Issues certificates into a folder; its own is `file`."""

    def __init__(self, folder: Path, name: str, *, ends: timedelta = 365 * DAY) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._key = rsa.generate_private_key(65_537, KEY_BITS)
        self._subject = _name(name)
        self.file = folder / f"{name}.pem"
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), False),
        ]
        issued = self._sign(self._subject, self._key, -DAY, ends, extensions)
        self.file.write_bytes(issued.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str,
        *dns_names: str,
        begins: timedelta = -DAY,
        ends: timedelta = 90 * DAY,
        key_bits: int = KEY_BITS,
        passphrase: bytes | None = None,
    ) -> Identity:
        """Issue a certificate, for servers and clients alike; dates are relative to now.

        `name` is its common name and that of its files.
        """
        paths = Identity(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        key = rsa.generate_private_key(65_537, key_bits)
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                False,
            ),
        ]
        if dns_names:
            named = [x509.DNSName(one) for one in dns_names]
            extensions.append((x509.SubjectAlternativeName(named), False))
        issued = self._sign(_name(name), key, begins, ends, extensions)
        write_key(paths.key, key, passphrase)
        pem = issued.public_bytes(serialization.Encoding.PEM)
        paths.certificate.write_bytes(pem + self.file.read_bytes())
        return paths

    def client(
        self, identity: Identity | None = None, *, newest: str = "TLSv1_3"
    ) -> ssl.SSLContext:
        """Make a client's context: it believes this authority, and shows an identity if given.

        `newest` is the newest TLS version that it speaks.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.file)
        context.maximum_version = ssl.TLSVersion[newest]
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: rsa.RSAPrivateKey,
        begins: timedelta,
        ends: timedelta,
        extensions: list[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._subject,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now + min(begins, ends - DAY),
            not_valid_after=now + ends,
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return builder.add_extension(own, critical=False).sign(self._key, hashes.SHA256())


class Pki:
    """A hospital's authority, the node's certificate and a client's, and strangers."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder, "hospital")
        self.stranger = Authority(folder / "abroad", "stranger")
        self.node = self.authority.issue("node", "localhost")
        self.client = self.authority.issue("ct1", "ct1.hospital.example", "other.example")

    def tls(self, **others: object) -> dict[str, object]:
        """Write the table [tls] with client certificates required, and other keys; None: none."""
        table: dict[str, object] = {
            "certificate": self.node.certificate,
            "key": self.node.key,
            "client_ca": self.authority.file,
            **others,
        }
        return {key: value for key, value in table.items() if value is not None}


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
