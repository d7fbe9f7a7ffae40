"""The way to a hub's welcome, step by step, until one fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from email.utils import parsedate_to_datetime

from agentbus.cli.doctor import explain, steps
from agentbus.cli.doctor.finding import Finding, not_tried
from agentbus.cli.doctor.token import inspect_token
from agentbus.cli.options import Access
from agentbus.cli.session import make_client
from agentbus.client import ConnectedEvent
from agentbus.errors import SignallingConnectError

Findings = AsyncGenerator[Finding, None]


class Examination:
    """One look at one hub.

    Args:
        access: where to connect to, and as whom.
        step_timeout: seconds that each step gets.
        wall: the clock, in Unix seconds.
    """

    def __init__(self, access: Access, *, step_timeout: float, wall: Callable[[], float]) -> None:
        self._access = access
        self._origin = access.origin
        self._step_timeout = step_timeout
        self._wall = wall

    async def findings(self) -> Findings:
        """Try each step; what can't be tried because an earlier one failed says so."""
        token = inspect_token(self._access.token, self._wall()) if self._access.token else None
        if token is not None:
            yield token
        proxy = steps.proxy_for(self._origin)
        way = self._through(proxy) if proxy else self._direct()
        async for finding in way:
            yield finding
            if not finding.ok and finding.step != "clock":
                for step in self._after(finding.step):
                    yield not_tried(step, finding.step)
                return
        if token is not None and not token.ok:
            yield not_tried("credential", token.step)
            return
        async for finding in self._credential():
            yield finding

    def _after(self, step: str) -> list[str]:
        way = ["name", "tcp", *(["tls"] if self._origin.secure else []), "http", "credential"]
        return way[way.index(step) + 1 :]

    async def _through(self, proxy: str) -> Findings:
        yield Finding("proxy", ok=True, fact=f"the environment names {proxy}, which does the steps up to TLS")

    async def _direct(self) -> Findings:
        yield await self._name()
        yield await self._tcp()
        if self._origin.secure:
            yield await self._tls()
        async for finding in self._http():
            yield finding

    async def _name(self) -> Finding:
        host = self._origin.host
        try:
            async with asyncio.timeout(self._step_timeout):
                addresses = await steps.resolve(self._origin)
        except socket.gaierror as error:
            return explain.name_error(error, host)
        except TimeoutError:
            return explain.name_error(socket.gaierror(socket.EAI_AGAIN, "no answer"), host)
        return Finding("name", ok=True, fact=f"{host} is {', '.join(addresses)}")

    async def _tcp(self) -> Finding:
        where = f"{self._origin.host} port {self._origin.port}"
        try:
            async with asyncio.timeout(self._step_timeout), steps.connection(self._origin, secure=False):
                return Finding("tcp", ok=True, fact=f"{where} takes connections")
        except OSError as error:
            return explain.connection_error(error, where, self._step_timeout)

    async def _tls(self) -> Finding:
        host = self._origin.host
        try:
            async with asyncio.timeout(self._step_timeout):
                version = await steps.tls_version(self._origin)
            return Finding("tls", ok=True, fact=f"{version}, the certificate is good for {host}")
        except OSError as error:
            return explain.tls_error(error, host)

    async def _http(self) -> Findings:
        try:
            async with asyncio.timeout(self._step_timeout):
                answer = await steps.upgrade(self._origin)
        except TimeoutError:
            yield explain.no_http(f"silence for {self._step_timeout:g} s", self._origin)
        except (OSError, ValueError) as error:
            yield explain.no_http(str(error) or type(error).__name__, self._origin)
        else:
            yield explain.upgrade_status(answer.status, answer.reason, answer.retry_after)
            if answer.date:
                yield explain.clock(self._wall() - parsedate_to_datetime(answer.date).timestamp())

    async def _credential(self) -> Findings:
        client = make_client(self._access, auto_reconnect=False)
        try:
            async with asyncio.timeout(self._step_timeout):
                event = await client.connect()
            yield _welcome(event, self._wall())
            yield explain.clock(self._wall() - event.server_time)
        except SignallingConnectError as error:
            yield explain.refusal(error.close_code, error.reason)
        except TimeoutError:
            fact = f"no welcome within {self._step_timeout:g} s"
            yield Finding("credential", ok=False, fact=fact, advice="something listens there; is it a hub?")
        finally:
            await client.dispose()


def _welcome(event: ConnectedEvent, now: float) -> Finding:
    ends = "" if event.expires_at is None else f", for {event.expires_at - now:.0f} s"
    fact = f"welcome as {event.peer_id}{ends}; messages up to {event.max_message_size} bytes"
    return Finding("credential", ok=True, fact=fact)
