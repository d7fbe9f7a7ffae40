"""The hub of a simulated world: one after another of its lives, as an operator or a power cut has it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from agentbus.hub.core import AppConfig, Close, HubConfig, Limits, MemoryUsageStore, PublishableKey, SecretKey
from agentbus.hub.server.session import SessionHandler
from agentbus.protocol import CloseCode
from agentbus.testing.simulation.doorway import HubDoorway
from agentbus.testing.simulation.plan import HubSpec
from agentbus.testing.simulation.process import Process
from agentbus.testing.simulation.tokens import KEY_ID, PUBLISHABLE_KEY, SECRET
from agentbus.testing.simulation.watched import HubAccount, WatchedShell
from agentbus.wire import MemoryListener, ServerConnection, ServerOptions

if TYPE_CHECKING:
    from agentbus.testing.simulation.stage import Stage

ORIGIN: Final = "ws://localhost"
APP: Final = "sim"
OPEN_CHANNELS: Final = ("rooms/**", "agentbus/**")


class SimulatedHub:
    """One hub, life after life.

    Args:
        stage: the world around it.
        spec: its limits.
    """

    def __init__(self, stage: Stage, spec: HubSpec) -> None:
        self._stage = stage
        self.spec = spec
        self.account = HubAccount(stage.trace)
        self.lives: list[tuple[Process, WatchedShell]] = []
        self._usage = MemoryUsageStore()
        self._listener: MemoryListener | None = None
        self.start()

    @property
    def process(self) -> Process:
        """The process of the current or the last life."""
        return self.lives[-1][0]

    @property
    def shell(self) -> WatchedShell:
        """The shell of the current or the last life."""
        return self.lives[-1][1]

    @property
    def up(self) -> bool:
        """Whether it accepts connections."""
        return self._listener is not None

    # -- lives -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a new life and listen."""
        number = len(self.lives) + 1
        process = Process(self._stage.loop, f"hub-{number}", f"{self._stage.seed} hub {number}")
        times = ServerOptions(ping_interval=self.spec.ping_interval, ping_timeout=self.spec.ping_timeout)
        shell = WatchedShell(config(self.spec), process, self._usage, self.account, number, times)
        self.lives.append((process, shell))
        self._listener = self._stage.network.listen(ORIGIN, functools.partial(_accept, shell, process))
        shell.core.note("listens")

    def shut_down(self, grace: float) -> None:
        """Say `going_away` to all and close them with 1001."""
        if self._stop_listening():
            process, shell = self.process, self.shell
            shell.core.note("shuts down")
            process.loop.perform(lambda: process.loop.create_task(shell.shutdown(grace)))

    def crash(self, *, silently: bool) -> None:
        """Die on the spot.

        Args:
            silently: as in a power cut; else the machine lives on and resets the process's connections.
        """
        if not self._stop_listening():
            return
        self.shell.core.note("dies" + (" silently" if silently else ""))
        self.process.loop.kill()
        if silently:
            self._stage.bury(self._stage.network.connections)
        else:
            self._stage.network.cut(ORIGIN)
        self.shell.core.over()

    def _stop_listening(self) -> bool:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        return listener is not None

    # -- what an operator does ---------------------------------------------------------------------------

    def force_close(self, address: str, code: int) -> None:
        """Close all connections of an address with a code; 4020 as an operator would."""
        self.process.loop.perform(self._force_close, self.shell, address, CloseCode.of(code))

    def _force_close(self, shell: WatchedShell, address: str, code: CloseCode) -> None:
        for session, log in list(shell.core.logs.items()):
            if not session.open or log.address != address:
                continue
            if code == CloseCode.ADMIN_DISCONNECT:
                shell.execute(shell.core.disconnect_peer(APP, log.peer_id, shell.now()))
            else:
                forgotten = shell.core.disconnect(session, shell.now())
                shell.execute([Close(session, code, "as planned"), *forgotten])
            shell.rearm()

    def refuse(self, address: str, code: int, times: int) -> None:
        """Answer the next connects of an address with a close code instead of a welcome."""
        self.account.refusals.setdefault(address, []).extend([CloseCode.of(code)] * times)

    def relax(self) -> None:
        """Lift every limit that would keep clients out for good, by a restart with another configuration."""
        self.account.refusals.clear()
        if self.spec.tight or not self.up:
            self.crash(silently=False)
            self.spec = HubSpec(ping_interval=self.spec.ping_interval, ping_timeout=self.spec.ping_timeout)
            self.start()


def config(spec: HubSpec) -> HubConfig:
    """Write the hub's configuration."""
    key = PublishableKey(key=PUBLISHABLE_KEY, channel_patterns=OPEN_CHANNELS)
    secret = SecretKey(id=KEY_ID, secret=SECRET, channel_patterns=OPEN_CHANNELS)
    app = AppConfig(
        id=APP,
        max_connections=spec.max_connections,
        max_messages_per_period=spec.max_messages,
        suspended=spec.suspended,
        publishable_keys=(key,),
        secret_keys=(secret,),
    )
    limits = Limits(
        max_message_size=spec.max_message_size,
        channels_per_connection=spec.channels_per_connection,
        messages_per_second=spec.messages_per_second,
        message_burst=spec.message_burst,
        connects_per_minute_per_address=spec.connects_per_minute,
        max_backlog_bytes=spec.max_backlog_bytes,
    )
    return HubConfig(apps=(app,), limits=limits, presence_delay=spec.presence_delay)


def _accept(shell: WatchedShell, process: Process) -> ServerConnection:
    with process.loop.current():
        handler = HubDoorway(SessionHandler(shell), process.loop)
        return ServerConnection(handler, shell.flusher, shell.options)
