"""What a symptom means and what to do about it: pure functions from what was seen to words."""

from __future__ import annotations

import errno
import socket
import ssl

from agentbus.cli.doctor.finding import Finding
from agentbus.protocol import CloseCode, Origin, Retry

SKEW_TOLERATED = 5.0  # seconds: the leeway of `nbf` and `iat` (spec section 8)

_ERRNO = {
    errno.ECONNREFUSED: (
        "refused: nothing listens on that port",
        "is the hub running, and on that port? `agentbus serve --dev` starts one on port 7700",
    ),
    errno.ENETUNREACH: ("the network is unreachable", "this machine has no route there: check its network"),
    errno.EHOSTUNREACH: ("the host is unreachable", "no route to that host: check address, VPN and firewall"),
    errno.ECONNRESET: (
        "reset by the other side",
        "something on the way cuts the connection: a proxy or a firewall?",
    ),
}
_STATUS = {
    301: "a redirect, and a hub is never behind one: use the URL that it names",
    302: "a redirect, and a hub is never behind one: use the URL that it names",
    400: "the server took the request for a bad one: is a proxy on the way that knows no WebSocket?",
    401: "a gateway in front of the hub asks for a login of its own; a hub never answers an upgrade with 401",
    403: "a gateway in front of the hub forbids it; a hub never answers an upgrade with 403",
    404: "a web server that has no /v1: is this the hub's own address?",
    426: "the server wants another protocol: a proxy on the way drops the Upgrade header",
    429: "too many connects from this address within a minute: wait as long as Retry-After says",
    502: "a gateway is there, the hub behind it is not",
    503: "the hub is starting, draining or overloaded: try again in a moment",
    504: "a gateway is there, the hub behind it does not answer",
}


def connection_error(error: OSError, where: str, timeout: float) -> Finding:
    """Explain why TCP did not come up."""
    if isinstance(error, TimeoutError):
        advice = "a firewall that drops packets, or a wrong address: try from another network"
        return Finding("tcp", ok=False, fact=f"{where}: no answer within {timeout:g} s", advice=advice)
    fact, advice = _ERRNO.get(error.errno or 0, (error.strerror or type(error).__name__, "check the address"))
    return Finding("tcp", ok=False, fact=f"{where}: {fact}", advice=advice)


def name_error(error: socket.gaierror, host: str) -> Finding:
    """Explain why a name has no address."""
    if error.errno in {socket.EAI_AGAIN, socket.EAI_FAIL}:
        advice = "the name server does not answer: check this machine's network and DNS"
    else:
        advice = "no such name: a typo, or a name that only another network knows"
    return Finding("name", ok=False, fact=f"{host}: {error.strerror}", advice=advice)


def tls_error(error: Exception, host: str) -> Finding:
    """Explain why TLS did not come up."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Finding("tls", ok=False, fact=error.verify_message, advice=_certificate_advice(error, host))
    if isinstance(error, ssl.SSLError) and error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        advice = "that port does not speak TLS: a ws:// hub on this machine, or another port?"
        return Finding("tls", ok=False, fact="the answer is not TLS", advice=advice)
    if isinstance(error, TimeoutError):
        return Finding(
            "tls", ok=False, fact="no answer", advice="the port takes connections and stays silent"
        )
    return Finding(
        "tls", ok=False, fact=str(error) or type(error).__name__, advice="the server ended the handshake"
    )


def _certificate_advice(error: ssl.SSLCertVerificationError, host: str) -> str:
    text = error.verify_message.lower()
    if "expired" in text:
        return "renew the server's certificate, or set this machine's clock"
    if "not yet valid" in text:
        return "this machine's clock is behind, or the certificate starts later"
    if "mismatch" in text or "not valid for" in text:
        return f"the certificate is for another name than {host}: connect by that name"
    return "the issuer is unknown here: name its CA file in SSL_CERT_FILE"


def upgrade_status(status: int, reason: str, retry_after: str | None) -> Finding:
    """Explain what the upgrade of the connection was answered with."""
    fact = f"status {status} {reason}".rstrip() + (f", Retry-After: {retry_after}" if retry_after else "")
    if status == 101:
        return Finding("http", ok=True, fact="the upgrade to WebSocket is accepted")
    advice = _STATUS.get(status, "that server speaks HTTP, but is no hub")
    return Finding("http", ok=False, fact=fact, advice=advice)


def no_http(detail: str, origin: Origin) -> Finding:
    """Explain an answer to the upgrade that is no HTTP."""
    other = "is it a port for wss://?" if not origin.secure else "is it a hub?"
    return Finding(
        "http", ok=False, fact=f"no HTTP answer: {detail}", advice=f"something else listens there; {other}"
    )


def refusal(code: int, reason: str) -> Finding:
    """Explain the close code that came in place of a welcome."""
    close = CloseCode.of(code)
    said = f' ("{reason}")' if reason else ""
    rule = {
        Retry.NO: "a client does not try again by itself",
        Retry.FLOOR: f"a client tries again after {close.retry.floor:g} s at the earliest",
        Retry.BACKOFF: "a client tries again by itself",
    }[close.retry]
    return Finding(
        "credential", ok=False, fact=f"closed with {code}{said}", advice=f"{close.explanation}; {rule}"
    )


def clock(offset: float) -> Finding:
    """Explain how far this machine's clock is from the hub's, in seconds; ahead is positive."""
    if abs(offset) <= SKEW_TOLERATED:
        return Finding("clock", ok=True, fact="this machine and the hub agree on the time")
    where = "ahead of" if offset > 0 else "behind"
    return Finding(
        "clock",
        ok=False,
        fact=f"this machine is {abs(offset):.0f} s {where} the hub",
        advice="tokens that this machine mints expire early or are not valid yet: set its clock (NTP)",
    )
