"""The TLS of the HTTP port, from the files of [http]."""

import ssl

from config.model import Http, Tls
from dicom.errors import ConfigFault


def context_of(http: Http, now: float) -> ssl.SSLContext | None:
    """Read certificate and key; None where the port is plain HTTP.

    Raises ConfigFault with everything that is wrong with the files.
    """
    if http.certificate is None or http.key is None:
        return None
    from config import certificates  # 8 MB that a node without TLS need not have

    tls = Tls(certificate=http.certificate, key=http.key)
    if found := list(certificates.problems(tls, now)):
        raise ConfigFault([(f"http.{key}", words) for key, words in found])
    return certificates.load(tls, now).context
