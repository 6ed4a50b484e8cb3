"""Which addresses a webhook may reach: the public internet, unless its owner says otherwise.

A host's name says nothing: it may be written as `0x7f.1`, and it may resolve to another address a moment later.
So the check is on the address that a socket is about to be connected to, and on nothing before that.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, Sequence[Any]]

_EMBEDS = IPv6Network("64:ff9b::/96")
"""NAT64 (RFC 6052): the last 32 bits are the IPv4 address that is really reached."""
_NOT_PUBLIC: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("192.88.99.0/24"),  # relays to 6to4
    IPv4Network("168.63.129.16/32"),  # the host agent of Azure's virtual machines, on a public address
    IPv6Network("::/96"),  # IPv4-compatible, deprecated
    IPv6Network("64:ff9b:1::/48"),  # NAT64 inside one network
    IPv6Network("2001::/32"),  # Teredo: the IPv4 address within may be anything
    IPv6Network("2002::/16"),  # 6to4: as Teredo
    IPv6Network("fec0::/10"),  # site-local, deprecated
)


class PrivateAddressError(Exception):
    """The address is not on the public internet. No OSError, so that no other address is tried instead."""


def public(address: str) -> bool:
    """Whether an IP address, as getaddrinfo writes it, is one of the public internet."""
    ip = ip_address(address.partition("%")[0])
    embedded = _embedded(ip)
    if embedded is not None:
        ip = embedded
    if any(ip.version == network.version and ip in network for network in _NOT_PUBLIC):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def public_socket(info: AddressInfo) -> socket.socket:
    """Make the socket for one address, as aiohttp asks before each connection; PrivateAddressError if private."""
    family, kind, protocol, _, where = info
    if not public(str(where[0])):
        raise PrivateAddressError(f"{where[0]} is no address of the public internet")
    return socket.socket(family, kind, protocol)


def _embedded(ip: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that is reached through an IPv6 one."""
    if not isinstance(ip, IPv6Address):
        return None
    return IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _EMBEDS else ip.ipv4_mapped
