"""Where a request comes from: one spelling per address, and whom to believe about it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from agentbus.wire.server import UpgradeRequest

UNIX = "unix"
"""What stands for a proxy that connects over the unix socket among the trusted ones."""

IPV6_SITE_BITS = 64
"""A customer has at least so much of IPv6 to himself; a rate per address would never meet him twice."""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_address(text: str) -> IpAddress | None:
    """Read an IP address in any spelling, with or without a port; None for what is none.

    An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`, as a dual-stack socket has it) is the IPv4 address,
    and a zone (`%eth0`) is left away.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def canonical(text: str) -> str:
    """Spell an IP address as sockets do, `2001:db8::1` for `2001:DB8:0::1`; leave anything else alone."""
    address = parse_address(text)
    return text if address is None else str(address)


def rate_key(address: str) -> str:
    """Say with whom an address shares its connect rate: an IPv6 address with its /64, another with nobody."""
    parsed = parse_address(address)
    if not isinstance(parsed, ipaddress.IPv6Address):
        return address
    return str(ipaddress.IPv6Network((parsed, IPV6_SITE_BITS), strict=False))


class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is believed.

    Args:
        proxies: IP addresses, networks such as `10.0.0.0/8`, and `unix` for whoever uses the unix socket.

    Raises:
        ValueError: one of them is none of these.
    """

    def __init__(self, proxies: Iterable[str] = ()) -> None:
        proxies = tuple(proxies)
        self._unix = UNIX in proxies
        self._networks = tuple(parse_network(proxy) for proxy in proxies if proxy != UNIX)

    def __contains__(self, address: str) -> bool:
        if not address:
            return self._unix
        parsed = parse_address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, peer: str, forwarded: Iterable[str]) -> str:
        """Find where a request comes from: the last hop that is no trusted proxy.

        Args:
            peer: address of the other end of the socket; "" for a unix socket.
            forwarded: the values of the request's `X-Forwarded-For` lines, in order.

        Returns:
            An address, or "". What a trusted proxy passed on and is no address says nothing: then it is the
            proxy's own.
        """
        address = canonical(peer)
        hops = ",".join(forwarded).split(",")
        while hops and address in self:
            hop = parse_address(hops.pop())
            if hop is None:
                break
            address = str(hop)
        return address


def parse_network(text: str) -> IpNetwork:
    """Read an address or a network, host bits or not. Raises ValueError for anything else."""
    network = ipaddress.ip_network(text, strict=False)
    mapped = network.network_address
    if isinstance(mapped, ipaddress.IPv6Address) and mapped.ipv4_mapped and network.prefixlen >= 96:
        return ipaddress.IPv4Network((mapped.ipv4_mapped, network.prefixlen - 96))
    return network


def client_address(request: UpgradeRequest, trusted: TrustedProxies) -> str:
    """Find where an upgrade request comes from."""
    return trusted.client(request.peer_address, request.headers.get_all("X-Forwarded-For"))
