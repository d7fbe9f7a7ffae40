"""A hub's core and shell that keep an account of what they do. They decide nothing themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agentbus.errors import FrameDecodeError
from agentbus.hub.core import (
    Broadcast,
    Claims,
    Close,
    Command,
    ConnectRequest,
    Hub,
    HubConfig,
    Instant,
    Send,
    Session,
    UsageStore,
)
from agentbus.hub.server.shell import HubShell
from agentbus.protocol import (
    Ack,
    ClientFrame,
    CloseCode,
    ErrorFrame,
    Pong,
    decode_client_frame,
    decode_server_frame,
)
from agentbus.testing.simulation.process import Process
from agentbus.testing.simulation.record import Admitted, HubEnded, HubEvent, Left, SessionLog, SlowDown, Took
from agentbus.testing.simulation.tokens import ticket_of, verify
from agentbus.testing.simulation.trace import Trace
from agentbus.wire import ServerOptions


@dataclass(eq=False)
class HubAccount:
    """What all lives of one hub did.

    Attributes:
        trace: where it is told.
        events: in order.
        sessions: of all connections that got as far as the core, in order.
        refusals: codes to answer the next connects of an address with.
    """

    trace: Trace
    events: list[HubEvent] = field(default_factory=list[HubEvent])
    sessions: list[SessionLog] = field(default_factory=list[SessionLog])
    refusals: dict[str, list[CloseCode]] = field(default_factory=dict[str, list[CloseCode]])


class WatchedHub(Hub):
    """The core, with an account.

    Args:
        config: apps and limits.
        new_id: makes peer ids.
        usage_store: keeps message counts over restarts.
        account: where everything is written down.
        incarnation: which life this is.
    """

    def __init__(
        self,
        config: HubConfig,
        new_id: Callable[[], str],
        usage_store: UsageStore,
        account: HubAccount,
        incarnation: int,
    ) -> None:
        super().__init__(config, new_id=new_id, verify=self._verify, usage_store=usage_store)
        self.account = account
        self.incarnation = incarnation
        self.logs: dict[Session, SessionLog] = {}
        self._present: dict[Session, SessionLog] = {}
        self._ticket: str | None = None

    def _verify(self, token: str) -> Claims:
        claims = verify(token)
        self._ticket = ticket_of(claims)
        return claims

    def allow_connect(self, address: str, now: Instant) -> float | None:
        """Note who is told to slow down."""
        wait = super().allow_connect(address, now)
        if wait is not None:
            self.account.events.append(SlowDown(now.monotonic, address, wait))
            self.note(f"429 for {address}, {wait:.3f} s")
        return wait

    def connect(self, request: ConnectRequest, now: Instant) -> tuple[Session, list[Command]]:
        """Note who comes; turn away whom the plan says."""
        self._ticket = None
        session, commands = super().connect(request, now)
        log = SessionLog(
            len(self.account.sessions), self.incarnation, request.address, session.peer_id, self._ticket
        )
        self.account.sessions.append(log)
        self.logs[session] = log
        if session.open:
            self._present[session] = log
        refusals = self.account.refusals.get(request.address)
        if session.open and refusals:
            del self._present[session]
            commands = [*self.disconnect(session, now), Close(session, refusals.pop(0), "as planned")]
        elif session.open:
            self.account.events.append(Admitted(log))
        log.open = session.open
        self.note(f"#{log.number} {request.address} is {session.peer_id!r}, open: {session.open}")
        return session, commands

    def receive(self, session: Session, payload: bytes, now: Instant) -> list[Command]:
        """Note a frame, its answer, and to whom it was delivered."""
        log = self.logs.get(session)
        if log is None or not session.open:
            return super().receive(session, payload, now)
        commands = super().receive(session, payload, now)
        took = Took(log, _frame(payload), _answer(session, commands), self._delivered(commands))
        self.account.events.append(took)
        self.note(f"#{log.number} {payload[:100].decode(errors='replace')} -> {took.answer} {took.delivered}")
        self._note_leavers()
        return commands

    def disconnect(self, session: Session, now: Instant) -> list[Command]:
        """Note who leaves."""
        commands = super().disconnect(session, now)
        self._note_leavers()
        return commands

    def disconnect_peer(self, app: str, peer: str, now: Instant) -> list[Command]:
        """Note who is sent away by an operator."""
        commands = super().disconnect_peer(app, peer, now)
        self._note_leavers()
        return commands

    def tick(self, now: Instant) -> list[Command]:
        """Note who is sent away by the clock."""
        commands = super().tick(now)
        self._note_leavers()
        return commands

    def shutdown(self, now: Instant, retry_after: float) -> list[Command]:
        """Note the end."""
        commands = super().shutdown(now, retry_after)
        self.over()
        return commands

    def over(self) -> None:
        """Note that this life, and every session of it, is over."""
        for log in self._present.values():
            log.open = False
        self._present.clear()
        self.account.events.append(HubEnded(self.incarnation))

    def note(self, event: str) -> None:
        """Tell the trace."""
        self.account.trace.note(f"hub-{self.incarnation}", event)

    def _note_leavers(self) -> None:
        for session, log in list(self._present.items()):
            if not session.open:
                del self._present[session]
                log.open = False
                self.account.events.append(Left(log))
                self.note(f"#{log.number} left")

    def _delivered(self, commands: list[Command]) -> tuple[int, ...]:
        return tuple(
            self.logs[session].number
            for command in commands
            if isinstance(command, Broadcast)
            for session in command.sessions
            if session is not command.exclude and session in self.logs
        )


class WatchedShell(HubShell):
    """The shell, with an account of what goes into each connection's buffer.

    Args:
        config: apps and limits.
        process: where the hub lives.
        usage_store: keeps message counts over restarts.
        account: where everything is written down.
        incarnation: which life this is.
        options: idle pings and time-outs.
    """

    def __init__(
        self,
        config: HubConfig,
        process: Process,
        usage_store: UsageStore,
        account: HubAccount,
        incarnation: int,
        options: ServerOptions,
    ) -> None:
        super().__init__(config, loop=process.home, new_id=process.runtime.new_id, options=options)
        self.core = WatchedHub(config, process.runtime.new_id, usage_store, account, incarnation)
        self.hub = self.core

    def execute(self, commands: Iterable[Command]) -> None:
        """Note what is handed over before it is."""
        commands = list(commands)
        for command in commands:
            if isinstance(command, Close):
                self._closed(command)
            elif isinstance(command, Send):
                self._handed(command.session, command.payload)
            elif isinstance(command, Broadcast):
                for session in command.sessions:
                    if session is not command.exclude:
                        self._handed(session, command.payload)
        super().execute(commands)

    def close(self, command: Close) -> None:
        """Note who is closed for reading too slowly; all others are commands of the core."""
        self._closed(command)
        super().close(command)

    def _closed(self, command: Close) -> None:
        log = self.core.logs.get(command.session)
        if log is not None and command.session.handle is not None:
            log.closed_with = command.code
            self.core.note(f"#{log.number} is closed with {int(command.code)}")

    def _handed(self, session: Session, payload: bytes) -> None:
        log = self.core.logs.get(session)
        if log is not None and session.handle is not None:
            log.handed.append(payload)


def _frame(payload: bytes) -> ClientFrame | None:
    try:
        return decode_client_frame(payload)
    except FrameDecodeError:
        return None


def _answer(session: Session, commands: list[Command]) -> str | None:
    """Find the answer to a frame among the commands that it led to."""
    for command in commands:
        if isinstance(command, Send) and command.session is session:
            frame = decode_server_frame(command.payload)
            if isinstance(frame, Ack):
                return "ack"
            if isinstance(frame, Pong):
                return "pong"
            if isinstance(frame, ErrorFrame):
                return str(frame.code)
    return None
