"""IP addresses and networks of [peers]: read them, and say whether a caller's is among them; pure.

An IPv4 address that comes inside IPv6 (::ffff:10.1.2.3, RFC 4291 2.5.5.2) is that IPv4 address,
in the config file and on a connection, whichever way the node listens.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_MAPPED_BITS: Final = 96
"""What stands before the IPv4 address in an IPv6 address that holds one."""
_NEITHER: Final = (
    "is no IP address or network: write 10.1.2.3, 10.1.0.0/16 or fd00::/8;"
    " a host name cannot stand here, or whoever answers for DNS could open the door"
)


def parse(text: str) -> Network:
    """Read an address, or a network in CIDR notation; an address is a network of one.

    Raises ValueError with words that name the fix.
    """
    if "%" in text:
        raise ValueError("names an interface: leave away the % and what follows it")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(_NEITHER) from None
    if "/" in text and network.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"is an address within a network: did you mean {network}?")
    return _without_mapping(network)


def normal(address: str) -> str:
    """Write an address the one way that the log and the lists show; other text stays as it is."""
    try:
        return str(_address(address))
    except ValueError:
        return address


def contains(networks: Sequence[str], address: str) -> bool:
    """Whether an address is in one of the networks; what is no address is in none.

    Raises ValueError for networks that `parse` does not take.
    """
    try:
        found = _address(address)
    except ValueError:
        return False
    return any(found in network for network in _parsed(tuple(networks)))


@lru_cache(maxsize=4096)
def _parsed(networks: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(parse(text) for text in networks)


def _address(text: str) -> Address:
    address = ip_address(text.partition("%")[0])  # the interface is the kernel's business
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _without_mapping(network: Network) -> Network:
    if isinstance(network, IPv4Network):
        return network
    mapped = network.network_address.ipv4_mapped
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((int(mapped), network.prefixlen - _MAPPED_BITS))
