"""Where a hub is: the origin of its URL, and nothing else (spec section 1)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from agentbus.errors import InvalidUrlError

_DEFAULT_PORTS = {"wss": 443, "ws": 80}
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*\.?")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\\]")


class Origin(Struct, frozen=True):
    """Where to connect.

    Attributes:
        scheme: "wss", or "ws" for this machine.
        host: name or address in lower case; an IPv6 address without brackets.
        port: as given, else the scheme's own.
        text: `scheme://host[:port]`, the port only where it was given and is not the scheme's own.
    """

    scheme: str
    host: str
    port: int
    text: str

    @property
    def secure(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "wss"

    @property
    def host_header(self) -> str:
        """What an HTTP `Host` header says."""
        return self.text.partition("://")[2]


def check_origin(url: str) -> Origin:
    """Read the URL of a hub.

    Args:
        url: `wss://host[:port]`; `ws://` only for `localhost`, `127.0.0.1` and `::1`; a `/` may follow.

    Raises:
        InvalidUrlError: another scheme, userinfo, a path, a query, a fragment, or a bad host or port. The
            message does not repeat the URL.
    """
    parts = _split(url)
    scheme = parts.scheme
    if scheme not in _DEFAULT_PORTS:
        raise InvalidUrlError("its scheme must be wss, or ws for this machine")
    _check_rest(url, parts)
    host = _ipv6(parts.hostname or "") if "[" in parts.netloc else _name(parts.hostname or "")
    if scheme == "ws" and host not in _LOOPBACK:
        raise InvalidUrlError("ws is for localhost, 127.0.0.1 and ::1 only; use wss")
    port = _port(parts) or _DEFAULT_PORTS[scheme]
    shown = f"[{host}]" if ":" in host else host
    suffix = "" if port == _DEFAULT_PORTS[scheme] else f":{port}"
    return Origin(scheme, host, port, f"{scheme}://{shown}{suffix}")


def _split(url: object) -> SplitResult:
    if not isinstance(url, str):
        raise InvalidUrlError(f"a string is needed, not {type(url).__name__}")
    # urlsplit drops some of these silently, and clients disagree about backslashes.
    if _UNPRINTABLE.search(url):
        raise InvalidUrlError("it holds a blank, a control character or a backslash")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = None
    if parts is None:
        raise InvalidUrlError("its host cannot be read")
    return parts


def _check_rest(url: str, parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise InvalidUrlError("it must not carry a user or a password")
    if parts.path not in {"", "/"}:
        raise InvalidUrlError("it must not have a path; the client adds its own")
    if "?" in url:
        raise InvalidUrlError("it must not have a query; credentials have options of their own")
    if "#" in url:
        raise InvalidUrlError("it must not have a fragment")


def _name(name: str) -> str:
    try:
        ascii_name = name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        ascii_name = ""
    if not _HOST.fullmatch(ascii_name):
        raise InvalidUrlError("it needs a host name or an address")
    return ascii_name.lower()


def _ipv6(name: str) -> str:
    try:
        address = IPv6Address(name)
    except AddressValueError:
        address = None
    if address is None or address.scope_id is not None:
        raise InvalidUrlError("what is in brackets is no IPv6 address, or has a zone")
    return str(address)


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise InvalidUrlError("its port must be a number from 1 to 65535")
    return port
