"""HTTP in, HTTP out: each request of the control plane becomes one call of the core and one answer."""

from __future__ import annotations

import logging
import math
import re
import uuid
from typing import Final

import msgspec
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from agentbus.hub.core.control import Control
from agentbus.hub.core.control_bodies import Answer, refuse
from agentbus.hub.core.keyring import Caller
from agentbus.hub.server.addresses import rate_key
from agentbus.hub.server.rest import audit
from agentbus.hub.server.rest.bodies import has_long_body, linger, read_whole
from agentbus.hub.server.rest.paths import Found, Missed, decode_segment, find
from agentbus.hub.server.shell import HubShell

FAILED: Final = refuse(503, "internal_error", "the hub failed at this: try again, and look into its log")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = logging.getLogger("agentbus.hub")
_encode = msgspec.json.Encoder().encode


class ControlPlane:
    """The ASGI application under `/v1/`.

    Args:
        shell: carries out what a call commands.
        control: the rules.
    """

    def __init__(self, shell: HubShell, control: Control) -> None:
        self._shell = shell
        self._control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        reply = _Reply(_request_id(scope, headers), scope, receive, send)
        found = find(scope["method"], scope["raw_path"])
        if isinstance(found, Missed):
            await reply.missed(found, whole=not has_long_body(headers))
            return
        exchange = _Exchange(self._shell, self._control, found, headers, scope)
        answer = await exchange.answer(receive)
        exchange.record(answer, reply.request_id)
        await reply.answer(answer, whole=exchange.whole)


class _Exchange:
    """One call on its way through: who calls, what about, what with.

    Attributes:
        whole: whether nothing more of the request is on its way that would be worth closing for.
    """

    def __init__(
        self, shell: HubShell, control: Control, found: Found, headers: Headers, scope: Scope
    ) -> None:
        self._shell = shell
        self._control = control
        self._found = found
        self._headers = headers
        self._address = _address(scope, headers, shell)
        self._caller: Caller | None = None
        self._target = ""
        self.whole = not has_long_body(headers)

    async def answer(self, receive: Receive) -> Answer:
        """Let the core answer; a failure of the hub's own is 503, and in the log."""
        try:
            return await self._answer(receive)
        except Exception:  # noqa: BLE001 -- whatever it is, the caller gets an answer and the log the traceback
            _log.exception("the call %s failed", self._found.operation.name)
            return FAILED

    async def _answer(self, receive: Receive) -> Answer:
        shell, found = self._shell, self._found
        authorization = [value.encode("latin-1") for value in self._headers.getlist("authorization")]
        entered = self._control.enter(authorization, rate_key(self._address), shell.now())
        if isinstance(entered, Answer):
            return entered
        self._caller = entered
        target = decode_segment(found.segment)
        if isinstance(target, Answer):
            return target
        self._target = target
        body: bytes | Answer = b""
        if found.operation.has_body:
            body = await read_whole(self._headers, receive)
            self.whole = self.whole or not isinstance(body, Answer)
            # time has passed
            entered = self._control.enter(authorization, rate_key(self._address), shell.now())
        if isinstance(body, Answer):
            return body
        return entered if isinstance(entered, Answer) else self._perform(entered, target, body)

    def _perform(self, caller: Caller, target: str, body: bytes) -> Answer:
        shell = self._shell
        answer = self._found.operation.call(self._control, caller, target, body, shell.now())
        shell.execute(answer.commands)
        shell.rearm()
        return answer

    def record(self, answer: Answer, request_id: str) -> None:
        """Write the line of the audit log."""
        audit.record(
            self._found.operation.name,
            self._target,
            self._caller,
            answer,
            address=self._address,
            request_id=request_id,
        )


class _Reply:
    """Writes one answer."""

    def __init__(self, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        self.request_id = request_id
        self._method: str = scope["method"]
        self._receive = receive
        self._send = send

    async def missed(self, missed: Missed, *, whole: bool) -> None:
        """Say that there is no such call."""
        allow = {"allow": ", ".join(missed.allowed)} if missed.allowed else {}
        if missed.answer is None:
            await self._write(204, b"", allow, whole=whole)
        else:
            await self._write(missed.answer.status, _encode(missed.answer.body), allow, whole=whole)

    async def answer(self, answer: Answer, *, whole: bool) -> None:
        """Say how a call ended, and close the connection where more of the request would come."""
        headers: dict[str, str] = {}
        if answer.status == 401:
            headers["www-authenticate"] = "Bearer"
        if answer.retry_after is not None:
            headers["retry-after"] = str(math.ceil(answer.retry_after))
        await self._write(answer.status, _encode(answer.body), headers, whole=whole)

    async def _write(self, status: int, body: bytes, headers: dict[str, str], *, whole: bool) -> None:
        headers |= {"x-request-id": self.request_id, "cache-control": "no-store"}
        if body:
            headers |= {"content-type": "application/json", "content-length": str(len(body))}
        if not whole:
            headers["connection"] = "close"
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        if not whole:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            await linger(self._receive)
            body = b""
        await self._send({"type": "http.response.body", "body": body})


def _request_id(scope: Scope, headers: Headers) -> str:
    """Take the id that the server has given the request, else the caller's own, else a new one."""
    given = scope.get("state", {}).get("request_id") or headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _address(scope: Scope, headers: Headers, shell: HubShell) -> str:
    peer = scope["client"][0] if scope.get("client") else ""
    return shell.trusted_proxies.client(peer, headers.getlist("x-forwarded-for"))
