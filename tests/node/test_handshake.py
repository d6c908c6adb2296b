"""Names in certificates, and failed handshakes in words."""

import ssl

import pytest

from node.handshake import explain, name_of


def subject(**attributes):
    return tuple(((key, value),) for key, value in attributes.items())


@pytest.mark.parametrize(
    ("certificate", "name"),
    [
        ({}, None),
        ({"subject": subject(organizationName="Hospital")}, None),
        ({"subject": subject(countryName="CH", commonName="ct1")}, "ct1"),
        ({"subject": subject(commonName="ct1"), "subjectAltName": (("DNS", "a"),)}, "a"),
        ({"subjectAltName": (("IP Address", "10.0.0.1"), ("DNS", "a"), ("DNS", "b"))}, "a"),
        ({"subject": subject(commonName="x"), "subjectAltName": (("URI", "u:v"),)}, "x"),
        ({"subject": ((("commonName", "site"),), (("commonName", "ct1"),))}, "ct1"),
    ],
)
def test_a_name_is_the_first_dns_name_or_the_common_name(certificate, name):
    """A client is called by its first DNS name, else by its most specific common name."""
    assert name_of(certificate) == name


def ssl_error(kind, reason, **others):
    fault = kind(1, reason)
    fault.reason = reason
    for key, value in others.items():
        setattr(fault, key, value)
    return fault


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (None, "silent", "in time"),
        (ConnectionResetError(), "gone", "closed"),
        (ssl_error(ssl.SSLEOFError, "UNEXPECTED_EOF_WHILE_READING"), "gone", "closed"),
        (ssl_error(ssl.SSLError, "UNEXPECTED_EOF_WHILE_READING"), "gone", "closed"),
        (ssl_error(ssl.SSLError, "HTTP_REQUEST"), "no TLS", "without TLS"),
        (ssl_error(ssl.SSLError, "SOMETHING_NEW"), "other", "SOMETHING_NEW"),
        (ssl_error(ssl.SSLError, None), "other", "unknown reason"),
        (
            ssl_error(
                ssl.SSLCertVerificationError, "X", verify_code=26, verify_message="unfit purpose"
            ),
            "client certificate",
            "refused: unfit purpose",
        ),
    ],
)
def test_a_failure_is_told_in_words_with_its_fix(fault, kind, words):
    """Whatever ends a handshake has a kind, words and what mends it; only a probe is common."""
    failure = explain(fault)
    assert failure.kind == kind
    assert words in failure.words
    assert failure.fix
    assert failure.is_common is (kind == "gone")
