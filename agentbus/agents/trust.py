"""Whom a node believes: the hub's stamp on a message decides, never what the message says about its sender.

A publishable key is public, so being able to send proves nothing. The metadata of a token, which the hub
stamps on every message, does: `peerMetadata.agentbus = {"ns": ["prod"], "role": "node"}`. Others may ask and
tell agents that are declared `public = True`, and nothing else. Where everyone with a credential is a friend
(an embedded hub, a development hub on loopback), `trust="all"` says so.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

TrustMode = Literal["all", "tokens"]
ROLE = "node"


def check_mode(mode: str) -> None:
    """Refuse what is no mode.

    Raises:
        ValueError: see above.
    """
    if mode not in {"all", "tokens"}:
        raise ValueError(f'trust is "all" or "tokens", not {mode!r}')


class _Claim(msgspec.Struct):
    ns: list[str]
    role: str


class _Metadata(msgspec.Struct):
    agentbus: _Claim


class Trust:
    """The rule of one bus.

    Args:
        mode: "all", or "tokens" for those whose token says that they are nodes of this namespace.
        namespace: the bus's own.
    """

    def __init__(self, mode: TrustMode, namespace: str) -> None:
        check_mode(mode)
        self.mode: TrustMode = mode
        self._namespace = namespace

    def is_node(self, metadata: Any) -> bool:
        """Judge a sender by its metadata as the hub stamped it; anything malformed is a stranger's."""
        if self.mode == "all":
            return True
        try:
            claim = msgspec.convert(metadata, _Metadata).agentbus
        except msgspec.ValidationError:
            return False
        return claim.role == ROLE and self._namespace in claim.ns


def node_metadata(*namespaces: str) -> dict[str, Any]:
    """Give the peer metadata that a node's token carries; for whoever mints tokens."""
    return {"agentbus": {"ns": list(namespaces), "role": ROLE}}
