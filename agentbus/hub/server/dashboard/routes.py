"""The dashboard's pages over HTTP: who is signed in, what is shown, what is done."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from agentbus.hub.core.attempts import Attempts
from agentbus.hub.core.control import Control
from agentbus.hub.core.control_bodies import Answer, KickAnswer, refuse
from agentbus.hub.core.keyring import Caller
from agentbus.hub.server.addresses import rate_key
from agentbus.hub.server.dashboard import guard
from agentbus.hub.server.dashboard.history import STEP, Histories
from agentbus.hub.server.dashboard.live import MOST_STREAMS, updates
from agentbus.hub.server.dashboard.panels import Panels, Query
from agentbus.hub.server.dashboard.render import MEDIA_TYPES, Renderer
from agentbus.hub.server.dashboard.sessions import Sessions, Visit
from agentbus.hub.server.metrics_access import is_local
from agentbus.hub.server.rest import audit
from agentbus.hub.server.shell import HubShell

LOGIN: Final = "/dashboard/login"
BAD_PAIR: Final = "That is no secret pair of this hub."
TRY_LATER: Final = "Too many attempts from your address. Wait {} s, then try again."
NOT_FROM_HERE: Final = "That form did not come from this page. Load the page anew, and try again."

BAD_PAIRS_PER_MINUTE: Final = 10
"""Of one address; the control plane counts them, too."""

View = Callable[[Request, Visit], Awaitable[Response]]


class Dashboard:
    """The dashboard of one hub.

    Args:
        shell: of the hub.
        control: the rules of the control plane: it checks credentials, and does what is done.
    """

    def __init__(self, shell: HubShell, control: Control) -> None:
        self._shell = shell
        self._control = control
        self._attempts = Attempts(BAD_PAIRS_PER_MINUTE)
        self._sessions = Sessions(lambda: secrets.token_urlsafe(32))
        self._histories = Histories()
        self._panels = Panels(shell, self._histories)
        self._loaded: Renderer | None = None
        self._stopping = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    # -- a life --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Remember, from now on, what the plots show."""
        self._histories.record(self._shell.hub.apps(), self._shell.now().monotonic)
        self._timer = self._shell.loop.call_later(STEP, self.start)

    def stop(self) -> None:
        """End the live updates of all open pages."""
        self._stopping.set()
        if self._timer is not None:
            self._timer.cancel()

    def routes(self) -> list[BaseRoute]:
        """Build what the dashboard answers."""
        pages = (
            ("/", "overview"),
            *((f"/dashboard/{name}", name) for name in ("connections", "channels", "channel")),
        )
        return [
            *(Route(path, self._signed_in(self._page(view)), methods=["GET"]) for path, view in pages),
            Route("/dashboard/live", self._live, methods=["GET"]),
            Route("/dashboard/kick", self._form(self._kick), methods=["POST"]),
            Route("/dashboard/logout", self._form(self._log_out), methods=["POST"]),
            Route(LOGIN, self._show_login, methods=["GET"]),
            Route(LOGIN, self._log_in, methods=["POST"]),
            Route("/dashboard/static/{name}", self._static, methods=["GET"]),
        ]

    # -- signing in and out --------------------------------------------------------------------------------

    async def _show_login(self, request: Request) -> Response:
        if self._visit(request) is not None:
            return _go("/")
        return await self._login_page(request)

    async def _log_in(self, request: Request) -> Response:
        if not guard.comes_from_here(request.headers):
            return await self._login_page(request, NOT_FROM_HERE, 403)
        fields = await guard.read_form(request)
        if fields is None:
            return await self._login_page(request, BAD_PAIR, 400)
        entered = self._enter(request, fields.get("id", "").strip(), fields.get("secret", "").strip())
        if isinstance(entered, Answer):
            return await self._refuse_login(request, entered)
        earlier = self._visit(request)
        if earlier is not None:
            self._sessions.end(earlier)
        visit = self._sessions.begin(entered, self._shell.hub.config, self._now())
        response = _go("/")
        guard.set_cookie(response, request, self._shell.trusted_proxies, visit.id)
        return response

    def _enter(self, request: Request, key_id: str, secret: str) -> Caller | Answer:
        address = rate_key(self._address(request))
        now = self._shell.now()
        wait = self._attempts.wait(address, now.monotonic)
        if wait is not None:
            entered: Caller | Answer = refuse(429, "rate_limited", "", retry_after=wait)
        else:
            pair = f"Bearer {key_id}:{secret}".encode(errors="replace")
            entered = self._control.enter([pair], address, now)
        if isinstance(entered, Answer) and entered.status == 401:
            self._attempts.count(address, now.monotonic)
        caller, answer = (None, entered) if isinstance(entered, Answer) else (entered, Answer(200, None))
        self._record(request, "sign_in", "", caller, answer)
        return entered

    async def _refuse_login(self, request: Request, answer: Answer) -> Response:
        if answer.status == 401:
            return await self._login_page(request, BAD_PAIR, 401)
        wait = math.ceil(answer.retry_after or 1)
        response = await self._login_page(request, TRY_LATER.format(wait), answer.status)
        response.headers["Retry-After"] = str(wait)
        return response

    async def _login_page(self, request: Request, problem: str = "", status: int = 200) -> Response:
        encrypted = guard.is_encrypted(request, self._shell.trusted_proxies)
        plain = not encrypted and not is_local(request, self._shell.trusted_proxies)
        context = {"problem": problem, "plain": plain, "visit": None, "title": "Sign in"}
        renderer = await self._renderer()
        return HTMLResponse(renderer.page("login", context), status, guard.PRIVATE_HEADERS)

    async def _log_out(self, request: Request, visit: Visit, _fields: dict[str, str]) -> Response:
        self._sessions.end(visit)
        response = _go(LOGIN)
        guard.set_cookie(response, request, self._shell.trusted_proxies, "")
        return response

    # -- what is shown -------------------------------------------------------------------------------------

    def _page(self, view: str) -> View:
        async def page(request: Request, visit: Visit) -> Response:
            query = Query.read(view, dict(request.query_params))
            context = self._context(request, visit, query) | {"notice": visit.notice}
            visit.notice = ""
            renderer = await self._renderer()
            return HTMLResponse(renderer.page(view, context), headers=guard.PRIVATE_HEADERS)

        return page

    def _context(self, request: Request, visit: Visit, query: Query) -> dict[str, Any]:
        scheme = "wss" if guard.is_encrypted(request, self._shell.trusted_proxies) else "ws"
        return self._panels.read(query, visit.caller) | {
            "visit": visit,
            "title": query.name if query.view == "channel" else query.view.capitalize(),
            "url": f"{scheme}://{request.headers.get('Host', 'HUB')}",
        }

    async def _live(self, request: Request) -> Response:
        visit = self._visit(request)
        query = Query.read(request.query_params.get("view", ""), dict(request.query_params))
        if visit is None or query.view not in self._panels.views:
            return Response(status_code=204, headers=guard.PRIVATE_HEADERS)  # no need to come back
        if visit.streams >= MOST_STREAMS:
            return Response(status_code=204, headers=guard.PRIVATE_HEADERS)

        renderer = await self._renderer()

        def look() -> str | None:
            if self._visit(request) is not visit:
                return None
            return renderer.fragment(query.view, self._context(request, visit, query))

        headers = {**guard.PRIVATE_HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._stream(visit, look), 200, headers, "text/event-stream")

    async def _stream(self, visit: Visit, look: Callable[[], str | None]) -> AsyncGenerator[bytes]:
        visit.streams += 1
        try:
            async for event in updates(look, self._stopping):
                yield event
        finally:
            visit.streams -= 1

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in MEDIA_TYPES:
            return Response(status_code=404, headers=guard.SECURITY_HEADERS)
        renderer = await self._renderer()
        keep = request.query_params.get("v") == renderer.version
        headers = {
            **guard.SECURITY_HEADERS,
            "Cache-Control": "public, max-age=31536000, immutable" if keep else "no-cache",
        }
        return Response(renderer.static[name], 200, headers, MEDIA_TYPES[name])

    # -- what is done --------------------------------------------------------------------------------------

    async def _kick(self, request: Request, visit: Visit, fields: dict[str, str]) -> Response:
        peer, now = fields.get("peer", ""), self._shell.now()
        answer = self._control.kick(visit.caller, peer, b"", now)
        self._shell.execute(answer.commands)
        self._shell.rearm()
        self._record(request, "kick", peer, visit.caller, answer)
        visit.notice = _told(peer, answer)
        back = Query.read("", fields)
        return _go(f"/dashboard/channel?{back.at_channel}" if back.name else "/dashboard/connections")

    async def _renderer(self) -> Renderer:
        """Return what makes pages; it is made when the first one is wanted, and holds nobody up."""
        if self._loaded is None:
            self._loaded = await asyncio.to_thread(Renderer)
        return self._loaded

    # -- who asks ------------------------------------------------------------------------------------------

    def _signed_in(self, view: View) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            visit = self._visit(request)
            return _go(LOGIN) if visit is None else await view(request, visit)

        return endpoint

    def _form(
        self, act: Callable[[Request, Visit, dict[str, str]], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            visit = self._visit(request)
            if visit is None:
                return _go(LOGIN)
            fields = await guard.read_form(request) if guard.comes_from_here(request.headers) else None
            if fields is None or not visit.has_form_token(fields.get("form_token", "")):
                visit.notice = NOT_FROM_HERE
                return _go("/")
            return await act(request, visit, fields)

        return endpoint

    def _visit(self, request: Request) -> Visit | None:
        given = request.cookies.get(guard.cookie_name(request, self._shell.trusted_proxies), "")
        return self._sessions.find(given, self._shell.hub.config, self._now())

    def _now(self) -> float:
        return self._shell.now().monotonic

    def _address(self, request: Request) -> str:
        peer = request.client.host if request.client else ""
        return self._shell.trusted_proxies.client(peer, request.headers.getlist("X-Forwarded-For"))

    def _record(
        self, request: Request, call: str, target: str, caller: Caller | None, answer: Answer
    ) -> None:
        request_id = request.scope.get("state", {}).get("request_id", "")
        audit.record(
            f"dashboard_{call}", target, caller, answer, address=self._address(request), request_id=request_id
        )


def _go(path: str) -> Response:
    return RedirectResponse(path, 303, guard.PRIVATE_HEADERS)


def _told(peer: str, answer: Answer) -> str:
    if not isinstance(answer.body, KickAnswer):
        return f"Not done: {answer.body.message}"
    closed = answer.body.closed
    if not closed:
        return f"{peer} had no connection any more."
    return f"Disconnected {peer}: {closed} connection{'' if closed == 1 else 's'} closed."
