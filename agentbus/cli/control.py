"""The hub's control plane, as commands ask it: HTTP with the standard library, one connection per command."""

from __future__ import annotations

import http.client
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from agentbus.cli.console import say
from agentbus.cli.doctor.steps import proxy_for
from agentbus.cli.exits import failed
from agentbus.cli.operator import Operator
from agentbus.wire.dial import default_ssl_context

TIMEOUT = 15.0  # seconds for an answer
MAX_BODY_BYTES = 32 * 1024  # spec section 8
MAX_ANSWER_BYTES = 64 << 20  # no roster is that long
IDLE_TIMEOUT = 3.0  # seconds; a hub ends a connection that idles longer than it likes

T = TypeVar("T")


class _Refusal(Struct, frozen=True):
    error: str
    message: str = ""


class ControlPlane:
    """Calls on one hub as one operator; each answer that is no success ends the command with one line.

    Args:
        operator: where, and with which secret pair.
    """

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._connection = _connection(operator)
        self._last = time.monotonic()

    def call(self, answer: type[T], method: str, *path: str, body: bytes | None = None) -> T:
        """Make one call.

        Args:
            answer: what the hub's answer is read as.
            method: of HTTP.
            path: its segments after `/v1`, as they are: they are encoded here.
            body: JSON.

        Raises:
            typer.Exit: the hub is not there, or refuses, or is none.
        """
        target = "/".join(("/v1", *(quote(segment, safe="") for segment in path)))
        status, retry_after, payload = self._exchange(method, target, body)
        if status != 200:
            self._refused(status, retry_after, payload)
        try:
            return msgspec.json.decode(payload, type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise failed(f"{self._origin} answers, but not as a hub's control plane does") from None

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    # -- how -----------------------------------------------------------------------------------------------

    @property
    def _origin(self) -> str:
        return self._operator.origin.text

    def _exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, str | None, bytes]:
        if time.monotonic() - self._last > IDLE_TIMEOUT:
            self._connection.close()  # the next request opens it again
        headers: dict[str, str | bytes] = {"Authorization": f"Bearer {self._operator.pair}".encode()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(method, target, body, headers)
            answer = self._connection.getresponse()
            payload = answer.read(MAX_ANSWER_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise failed(self._unreached(error)) from None
        finally:
            self._last = time.monotonic()
        return answer.status, answer.headers.get("Retry-After"), payload

    def _unreached(self, error: Exception) -> str:
        problem = str(error) or type(error).__name__
        if isinstance(error, ConnectionRefusedError):
            problem = "refused, nothing listens there; is the hub running? `agentbus serve --dev` starts one"
        elif isinstance(error, TimeoutError):
            problem = f"no answer within {TIMEOUT:g} s"
        return f"no answer from {self._origin}: {problem}; `agentbus doctor {self._origin}` tries each step"

    def _refused(self, status: int, retry_after: str | None, payload: bytes) -> NoReturn:
        try:
            refusal = msgspec.json.decode(payload, type=_Refusal)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise failed(
                f"{self._origin} answers with HTTP status {status}, and not as a hub's control plane does"
            ) from None
        if status == 401:
            if self._operator.assumed:
                say("no secret pair was named, so the one of `agentbus serve --dev` was tried")
            raise failed(
                "the hub does not know this secret pair: give --secret-key ID:SECRET or AGENTBUS_SECRET_KEY"
            )
        later = f"; try again in {retry_after} s" if retry_after else ""
        raise failed(f"the hub refused the call ({refusal.error}): {refusal.message}{later}")


@contextmanager
def controlling(operator: Operator) -> Generator[ControlPlane]:
    """Be connected for the length of a block; the first call connects."""
    plane = ControlPlane(operator)
    try:
        yield plane
    finally:
        plane.close()


def _connection(operator: Operator) -> http.client.HTTPConnection:
    origin = operator.origin
    secure: dict[str, Any] = {"context": default_ssl_context()} if origin.secure else {}
    kind = http.client.HTTPSConnection if origin.secure else http.client.HTTPConnection
    proxy = proxy_for(origin)
    if proxy is None:
        return kind(origin.host, origin.port, timeout=TIMEOUT, **secure)
    way = urlsplit(proxy)
    if way.scheme != "http" or way.hostname is None:
        raise failed(
            f"the control plane is asked directly or through an http:// proxy, not through {way.scheme}"
        )
    connection = kind(way.hostname, way.port or 80, timeout=TIMEOUT, **secure)
    connection.set_tunnel(origin.host, origin.port)
    return connection
