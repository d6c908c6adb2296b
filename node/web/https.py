"""The TLS of the HTTP port, from the files of [http], and from new ones once they are there."""

import ssl
import time

from config.model import Http, Tls
from dicom.errors import ConfigFault
from node.tls import Credentials


def credentials_of(http: Http) -> Credentials | None:
    """Read certificate and key; None where the port is plain HTTP.

    Raises ConfigFault with everything that is wrong with the files.
    """
    if http.certificate is None or http.key is None:
        return None
    from config import certificates  # 8 MB that a node without TLS need not have

    tls = Tls(certificate=http.certificate, key=http.key)
    if found := list(certificates.problems(tls, time.time())):
        raise ConfigFault([(f"http.{key}", words) for key, words in found])
    return Credentials(tls)


def context_of(credentials: Credentials) -> ssl.SSLContext:
    """Give a context under which each new connection is shown the certificate of the moment."""
    shown = credentials.context

    # Called at each handshake, also where the peer names no server.
    def newest(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = credentials.context

    shown.sni_callback = newest
    return shown
