"""Fresh credentials: what `agentbus keys` hands out."""

from __future__ import annotations

from secrets import token_hex


def new_publishable_key() -> str:
    """Return a public key that nobody else has."""
    return f"pk_live_{token_hex(16)}"


def new_secret_pair() -> tuple[str, str]:
    """Return the public id and the signing secret (256 random bits) of a new pair."""
    return f"sk_id_{token_hex(8)}", f"sk_secret_{token_hex(32)}"
