"""How to reach NATS: where, as whom, over which TLS. What is secret shows in no repr, log or error."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from agentbus.errors import HubConfigError

SCHEMES = ("nats", "tls")
CLUSTER_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
DEFAULT_CLUSTER = "agentbus"


@dataclass(frozen=True, kw_only=True)
class NatsOptions:
    """How to reach NATS.

    Attributes:
        servers: URLs without credentials.
        user: with `password`.
        password: see there.
        token: instead of both.
        credentials_file: a `.creds` file: a user's JWT and seed.
        nkey_file: a file that holds an nkey seed.
        tls: `tls://` was said, or a file of its own was given.
        ca_file: PEM of the authorities that are believed, instead of the system's.
        cert_file: PEM of this client's certificate.
        key_file: PEM of its key.
        cluster: hubs with the same name on the same NATS are one hub.
    """

    servers: tuple[str, ...]
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credentials_file: Path | None = None
    nkey_file: Path | None = None
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    cluster: str = DEFAULT_CLUSTER

    def ssl_context(self) -> ssl.SSLContext | None:
        """Make what TLS needs; None without TLS.

        Raises:
            HubConfigError: a file can't be used.
        """
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca_file)
            if self.cert_file is not None:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ssl.SSLError) as error:
            words = error.strerror or type(error).__name__
            raise HubConfigError("backplane", "tls", f"a TLS file can't be used: {words}") from None
        return context


def parse_nats_url(
    url: str,
    *,
    cluster: str = DEFAULT_CLUSTER,
    credentials_file: Path | None = None,
    nkey_file: Path | None = None,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
) -> NatsOptions:
    """Read `nats://[user:password@|token@]host[:port]`, or several with commas between; `tls://` for TLS.

    The first one that names a user, or a token, does so for all.

    Raises:
        HubConfigError: it is none; the text is not repeated, as it may hold a secret.
    """
    if not CLUSTER_NAME.fullmatch(cluster):
        raise HubConfigError("backplane", "cluster", "must be 1 to 64 letters, digits, dashes or underscores")
    parts = [_split(text.strip()) for text in url.split(",")]
    user = password = token = None
    for part in parts:
        if part.username and part.password is not None:
            user, password = unquote(part.username), unquote(part.password)
            break
        if part.username:
            token = unquote(part.username)
            break
    for name, path in (("credentials_file", credentials_file), ("nkey_file", nkey_file)):
        if path is not None and not path.is_file():
            raise HubConfigError("backplane", name, f"there is no file {path}")
    return NatsOptions(
        servers=tuple(_bare(part) for part in parts),
        user=user,
        password=password,
        token=token,
        credentials_file=credentials_file,
        nkey_file=nkey_file,
        tls=any(part.scheme == "tls" for part in parts) or ca_file is not None or cert_file is not None,
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        cluster=cluster,
    )


def _split(text: str) -> SplitResult:
    try:
        part = urlsplit(text)
        usable = part.scheme in SCHEMES and bool(part.hostname) and part.port != 0
    except ValueError:  # as of a port that is no number
        part, usable = SplitResult("", "", "", "", ""), False
    if not usable or part.path not in ("", "/") or part.query or part.fragment:
        raise HubConfigError("backplane", "url", "must be nats://host:4222 or tls://host:4222")
    return part


def _bare(part: SplitResult) -> str:
    host = f"[{part.hostname}]" if part.hostname and ":" in part.hostname else part.hostname
    return f"{part.scheme}://{host}:{part.port or 4222}"
