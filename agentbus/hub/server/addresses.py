"""Where a request comes from, in one spelling per address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from agentbus.wire.server import UpgradeRequest


def canonical(address: str) -> str:
    """Spell an IP address as sockets do, `2001:db8::1` for `2001:DB8:0::1`; leave anything else alone."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def client_address(request: UpgradeRequest, trusted: Iterable[str]) -> str:
    """Find where a request comes from: behind trusted proxies, the last hop that is none of them."""
    trusted = {canonical(proxy) for proxy in trusted}
    address = canonical(request.peer_address)
    hops = ",".join(request.headers.get_all("X-Forwarded-For")).split(",")
    while address in trusted and hops:
        hop = hops.pop().strip()
        if not hop:
            break
        address = canonical(hop)
    return address
