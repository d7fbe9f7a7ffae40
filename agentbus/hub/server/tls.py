"""TLS for the hub: one certificate and its key, in files that are renewed while it runs."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Final

from agentbus.errors import HubConfigError

log: Final = logging.getLogger("agentbus.hub.tls")

CHECK_INTERVAL: Final = 15.0
"""Seconds between two looks at the files."""

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds that a client has for the TLS handshake."""

SHUTDOWN_TIMEOUT: Final = 3.0
"""Seconds that a client has to answer the end of TLS."""

Signature = tuple[tuple[int, int, int] | None, ...]


def make_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Read a certificate chain and its key: TLS 1.2 at least, HTTP/1.1, no renegotiation.

    Raises:
        OSError: a file can't be read, or the two don't belong together (`ssl.SSLError`).
        ValueError: the key is encrypted; a hub has nobody to ask for the passphrase.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key, password=_no_passphrase)
    return context


def _no_passphrase() -> str:
    raise ValueError("the key is encrypted")


class Certificate:
    """The pair of files, and the context made of them last.

    Args:
        cert: PEM file with the chain.
        key: PEM file.

    Attributes:
        context: for handshakes that begin now; connections keep the one that they began with.

    Raises:
        HubConfigError: the pair can't be used.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self._seen = self._signature()
        try:
            self.context = make_context(cert, key)
        except (OSError, ValueError) as error:
            problem = f"the certificate or its key can't be used: {_why(error)}"
            raise HubConfigError("server", "tls", problem) from None

    def check(self) -> bool:
        """Renew the context if a file has changed since the last look; True if it was renewed."""
        signature = self._signature()
        if signature == self._seen:
            return False
        return self.renew()

    def renew(self) -> bool:
        """Read both files again; a pair that can't be used is refused with a log line, the old goes on."""
        self._seen = self._signature()
        try:
            self.context = make_context(self._cert, self._key)
        except (OSError, ValueError) as error:
            log.error("the new certificate or its key can't be used, the old one goes on: %s", _why(error))  # noqa: TRY400 -- the traceback says no more
            return False
        log.info("the certificate was renewed")
        return True

    def _signature(self) -> Signature:
        return tuple(_stamp(path) for path in (self._cert, self._key))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)
