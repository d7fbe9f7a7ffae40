"""TURN and STUN servers, which travel in `welcome.metadata.iceServers` by convention (spec section 3)."""

from __future__ import annotations

import re
from typing import Any, TypeGuard, cast

from msgspec import Struct

MAX_SERVERS = 16
MAX_URL_CHARACTERS = 512
MAX_SECRET_CHARACTERS = 1024

_SCHEME = re.compile("(stun|turn)s?:", re.IGNORECASE)


class IceServer(Struct, frozen=True):
    """One server that helps two peers to reach each other.

    Attributes:
        urls: where it is; `stun:`, `stuns:`, `turn:` or `turns:`, never empty.
        username: for `turn:`.
        credential: for `turn:`; not in the repr.
    """

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None

    def __repr__(self) -> str:
        hidden = None if self.credential is None else "<hidden>"
        return f"IceServer(urls={self.urls!r}, username={self.username!r}, credential={hidden})"


def ice_servers(metadata: dict[str, Any] | None) -> list[IceServer] | None:
    """Read the servers out of a welcome's metadata. Raises nothing.

    Returns:
        One entry per server, in order; None where there is no list, or where any entry is not well-formed.
    """
    entries: object = None if metadata is None else metadata.get("iceServers")
    if not _is_list(entries) or len(entries) > MAX_SERVERS:
        return None
    servers = [_server(entry) for entry in entries]
    good = [server for server in servers if server is not None]
    return good if len(good) == len(servers) else None


def _server(entry: object) -> IceServer | None:
    if not isinstance(entry, dict):
        return None
    fields = cast("dict[str, object]", entry)
    urls = _urls(fields.get("urls"))
    username, credential = (_string(fields.get(name)) for name in ("username", "credential"))
    if urls is None or max(len(username or ""), len(credential or "")) > MAX_SECRET_CHARACTERS:
        return None
    return IceServer(urls, username, credential)


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _urls(value: object) -> tuple[str, ...] | None:
    urls: list[object] = [value] if isinstance(value, str) else value if _is_list(value) else []
    good = tuple(url for url in urls if isinstance(url, str) and _is_ice_url(url))
    return good if good and len(good) == len(urls) else None


def _is_ice_url(url: str) -> bool:
    return len(url) <= MAX_URL_CHARACTERS and _SCHEME.match(url) is not None


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
