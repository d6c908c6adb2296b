"""Addresses of peers: what is one, and which networks hold it, in whatever form it is written."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.addresses import contains, normal, parse

V4 = st.integers(0, (1 << 32) - 1).map(IPv4Address)
V6 = st.integers(0, (1 << 128) - 1).map(IPv6Address).filter(lambda one: one.ipv4_mapped is None)
ADDRESSES = V4 | V6


def network_of(address, prefix):
    """The network of so many leading bits in which an address lies."""
    return ip_network((address, prefix), strict=False)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.1.2.3", IPv4Network("10.1.2.3/32")),
        ("10.1.0.0/16", IPv4Network("10.1.0.0/16")),
        ("10.1.0.0/255.255.0.0", IPv4Network("10.1.0.0/16")),
        ("0.0.0.0/0", IPv4Network("0.0.0.0/0")),
        ("fd00::1", IPv6Network("fd00::1/128")),
        ("fd00::/8", IPv6Network("fd00::/8")),
        ("::ffff:10.1.2.3", IPv4Network("10.1.2.3/32")),
        ("::ffff:10.1.0.0/112", IPv4Network("10.1.0.0/16")),
        ("::ffff:0:0/96", IPv4Network("0.0.0.0/0")),
        ("::/0", IPv6Network("::/0")),
    ],
)
def test_what_is_a_network(text, network):
    """Addresses and networks of both versions are read; IPv4 inside IPv6 becomes IPv4."""
    assert parse(text) == network


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ct1.hospital.example", "host name cannot stand here"),
        ("", "no IP address"),
        ("10.1.2.3 ", "no IP address"),
        ("10.1.2", "no IP address"),
        ("010.1.2.3", "no IP address"),
        ("10.1.2.300", "no IP address"),
        ("10.1.2.3/33", "no IP address"),
        ("10.1.2.3:104", "no IP address"),
        ("[fd00::1]", "no IP address"),
        ("10.1.2.3/16", "did you mean 10.1.0.0/16?"),
        ("fd00::1/8", "did you mean fd00::/8?"),
        ("fe80::1%eth0", "leave away the %"),
    ],
)
def test_what_is_none(text, words):
    """What is no address is a fault whose words name the fix."""
    with pytest.raises(ValueError, match=re.escape(words)):
        parse(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("10.1.2.3", "10.1.2.3"),
        ("fe80:0::1%eth0", "fe80::1"),
        ("FD00::0001", "fd00::1"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)
def test_one_way_to_write_an_address(text, shown):
    """Whatever the kernel calls a caller's address, log and lists show it one way."""
    assert normal(text) == shown


@given(ADDRESSES, ADDRESSES, st.data())
def test_a_network_holds_what_shares_its_first_bits(member, other, data):
    """An address is in a network exactly when version and leading bits agree."""
    prefix = data.draw(st.integers(0, member.max_prefixlen))
    text = str(network_of(member, prefix))
    assert contains([text], str(member))
    same = member.version == other.version and network_of(other, prefix) == network_of(
        member, prefix
    )
    assert contains([text], str(other)) is same


@given(V4, st.integers(0, 32))
def test_ipv4_in_ipv6_is_ipv4(address, prefix):
    """A caller that comes mapped into IPv6, and a network written so, mean the IPv4 address."""
    mapped = f"::ffff:{address}"
    plain = str(network_of(address, prefix))
    in_ipv6 = f"::ffff:{plain.partition('/')[0]}/{96 + prefix}"
    for network in (plain, in_ipv6):
        assert contains([network], mapped)
        assert contains([network], str(address))
    assert parse(in_ipv6) == parse(plain)


@given(ADDRESSES, st.lists(ADDRESSES, max_size=5))
def test_one_of_several_is_enough(address, others):
    """A caller may come from any of a peer's addresses, and from no other."""
    texts = [str(one) for one in others]
    assert contains([*texts, str(address)], str(address))
    assert contains(texts, str(address)) is (address in others)


@given(st.text())
def test_what_is_no_address_is_in_no_network(text):
    """A caller whose address makes no sense is nobody's: it fails closed."""
    try:
        ip_address(text.partition("%")[0])
    except ValueError:
        assert not contains(["0.0.0.0/0", "::/0"], text)
