"""What each page shows, read from a hub on its loop for one caller: that caller's app, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode

from agentbus.hub.core.app import App
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.keyring import Caller
from agentbus.hub.core.views import (
    ConnectionView,
    channel_view,
    connection_view,
    fullest,
    may_see,
    sees_everybody,
    shares_a_channel,
    visible_channels,
)
from agentbus.hub.server.dashboard.history import WINDOW, Histories, Sample, levels, rates
from agentbus.hub.server.dashboard.plots import Plot, plot
from agentbus.hub.server.session import Seat
from agentbus.hub.server.shell import HubShell
from agentbus.protocol import CloseCode, PresencePeer

ROWS: Final = 50
"""Connections or channels on one page."""

MOST_CHANNELS: Final = 6
"""Channels named in the row of a connection."""

MOST_MEMBERS: Final = 6
"""Peers named in the row of a channel."""

MOST_IN_CHANNEL: Final = 200
"""Peers listed on the page of one channel."""

DEEPEST_PAGE: Final = 1000
LONGEST_SEARCH: Final = 256


@dataclass(frozen=True, slots=True)
class Query:
    """What a page was asked for.

    Attributes:
        view: which page.
        words: that a name has to hold.
        page: from 0.
        name: of a channel.
    """

    view: str = "overview"
    words: str = ""
    page: int = 0
    name: str = ""

    @classmethod
    def read(cls, view: str, given: dict[str, str]) -> Query:
        """Read a query, whatever it holds."""
        page = given.get("page", "0")
        number = int(page) if page.isascii() and page.isdecimal() and len(page) < 6 else 0
        words, name = given.get("q", "").strip()[:LONGEST_SEARCH], given.get("name", "")
        return cls(view, words, min(number, DEEPEST_PAGE), name)

    def turn(self, pages: int) -> str:
        """Write the query of a page further on or back."""
        return urlencode({"q": self.words, "page": self.page + pages})

    @property
    def at_channel(self) -> str:
        """Write the query of a channel's page."""
        return urlencode({"name": self.name})

    @property
    def live(self) -> str:
        """Write the query of this page's live updates."""
        return urlencode({"view": self.view, "q": self.words, "page": self.page, "name": self.name})


@dataclass(frozen=True, slots=True)
class Member:
    """A peer and how many connections it has: so many close when it is disconnected."""

    peer: PresencePeer
    connections: int


@dataclass(frozen=True, slots=True)
class Row:
    """A connection as its row shows it.

    Attributes:
        number: of the connection.
        member: whose it is.
        view: the core's part.
        address: where it came from; "" for a unix socket.
        since: Unix seconds.
        age: seconds.
    """

    number: int
    member: Member
    view: ConnectionView
    address: str
    since: float
    age: float


@dataclass(frozen=True, slots=True)
class Ending:
    """Connections that ended alike."""

    code: str
    by: str
    count: int
    explanation: str


class Panels:
    """Reads a hub for the pages.

    Args:
        shell: of the hub.
        histories: of its apps.
    """

    def __init__(self, shell: HubShell, histories: Histories) -> None:
        self._shell = shell
        self._histories = histories
        self._read = {
            "overview": self._overview,
            "connections": self._connections,
            "channels": self._channels,
            "channel": self._channel,
        }

    @property
    def views(self) -> frozenset[str]:
        """The names of the pages."""
        return frozenset(self._read)

    def read(self, query: Query, caller: Caller) -> dict[str, Any]:
        """Gather what a page shows."""
        app = self._app(caller)
        context: dict[str, Any] = {
            "query": query,
            "app": app,
            "suspended": caller.app.suspended,
            "may_see_peers": caller.grant.permits("presence"),
        }
        return context | self._read[query.view](app, caller, query, self._shell.now())

    def _app(self, caller: Caller) -> App:
        return next(app for app in self._shell.hub.apps() if app.id == caller.app.id)

    # -- pages ---------------------------------------------------------------------------------------------

    def _overview(self, app: App, caller: Caller, _query: Query, now: Instant) -> dict[str, Any]:
        samples = self._histories.samples(app.id)
        return {
            "usage": self._shell.hub.usage(app.id, now),
            "messages": _plot_of(samples, "messages"),
            "delivered": _plot_of(samples, "delivered"),
            "connected": plot(levels(samples, "connections"), WINDOW),
            "endings": self._endings(app),
            "errors": app.statistics.errors.most_common(),
            "public_key": next((key.key for key in caller.app.publishable_keys), ""),
        }

    def _endings(self, app: App) -> list[Ending]:
        closes = self._shell.traffic.of(app.id).closes.most_common()
        return [Ending(code, by, number, _explain(code)) for (code, by), number in closes]

    def _connections(self, app: App, caller: Caller, query: Query, now: Instant) -> dict[str, Any]:
        found = self._seats(app, caller, query.words.casefold())
        first = query.page * ROWS
        rows = [self._row(seat, caller, now) for seat in islice(found, first, first + ROWS)]
        return {"rows": rows, "more": next(found, None) is not None, "total": app.meter.concurrent}

    def _channels(self, app: App, caller: Caller, query: Query, _now: Instant) -> dict[str, Any]:
        found = fullest(visible_channels(app, caller.grant, query.words), query.page * ROWS, ROWS + 1)
        rows = [channel_view(channel, MOST_MEMBERS) for channel in found[:ROWS]]
        return {"rows": rows, "more": len(found) > ROWS}

    def _channel(self, app: App, caller: Caller, query: Query, _now: Instant) -> dict[str, Any]:
        found = app.channels.get(query.name)
        if found is None or not may_see(caller.grant, found.name):
            return {"channel": None}
        view = channel_view(found, MOST_IN_CHANNEL)
        return {"channel": view, "members": [self._member(app, peer) for peer in view.members]}

    # -- how -----------------------------------------------------------------------------------------------

    def _seats(self, app: App, caller: Caller, words: str) -> Iterator[Seat]:
        """Go through the connections that the caller may know of, the newest first."""
        if not caller.grant.permits("presence"):
            return
        everybody = sees_everybody(caller)
        for handler in reversed(self._shell.handlers):
            seat = handler.seat()
            if seat is None or seat.session.app is not app:
                continue
            if words and words not in seat.session.peer_id.casefold() and words not in seat.address:
                continue
            if everybody or shares_a_channel(seat.session, caller.grant):
                yield seat

    def _row(self, seat: Seat, caller: Caller, now: Instant) -> Row:
        session, age = seat.session, now.monotonic - seat.opened_at
        view = connection_view(session, caller.grant, MOST_CHANNELS)
        return Row(
            seat.number, self._member(session.app, session.peer), view, seat.address, now.wall - age, age
        )

    def _member(self, app: App, peer: PresencePeer) -> Member:
        return Member(peer, self._shell.hub.connections_of(app.id, peer.peer_id))


def _plot_of(samples: list[Sample], counter: str) -> Plot:
    return plot(rates(samples, counter), WINDOW)


def _explain(code: str) -> str:
    return CloseCode.of(int(code)).explanation if code.isdecimal() else "a code that is not in the protocol"
