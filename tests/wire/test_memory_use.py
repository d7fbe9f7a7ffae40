"""What an idle connection of a hub keeps in memory."""

from __future__ import annotations

import gc
import tracemalloc

from agentbus.wire import frame_text
from tests.wire.fakes import ServerEar, World
from tests.wire.frames import raw_frame, text

CONNECTIONS = 50
OURS = tuple(f"*/agentbus/wire/{name}.py" for name in ("server", "connection", "engine", "general", "head"))


def allocated(patterns: tuple[str, ...]) -> int:
    gc.collect()
    filters = [tracemalloc.Filter(inclusive=True, filename_pattern=pattern) for pattern in patterns]
    snapshot = tracemalloc.take_snapshot().filter_traces(filters)
    return sum(statistic.size for statistic in snapshot.statistics("filename"))


def test_an_idle_connection_keeps_neither_its_upgrade_nor_a_general_parser() -> None:
    with World() as world:
        world.upgrade(ServerEar())  # what is made once and kept
        tracemalloc.start()
        try:
            ears = [ServerEar() for _ in range(CONNECTIONS)]
            for ear in ears:
                peer = world.upgrade(ear)
                peer.transport.write(text("hello", masked=True) + raw_frame(0x8A, b"pong", masked=True))
                world.run()
                peer.transport.write(raw_frame(0x01, b"he", masked=True))
                peer.transport.write(raw_frame(0x80, b"llo", masked=True))
                world.run()
                ear.connection.send_frames(frame_text(b"hello"))
                world.run()
                ear.requests.clear()
            per_connection = allocated(OURS) / CONNECTIONS
            websockets = allocated(("*/websockets/*",)) / CONNECTIONS
        finally:
            tracemalloc.stop()
        assert all(ear.messages == [b"hello", b"hello"] for ear in ears)
        assert per_connection < 1000
        assert websockets < 100


def test_connections_have_no_dictionaries() -> None:
    with World() as world:
        ear = ServerEar()
        world.upgrade(ear)
        assert not hasattr(ear.connection, "__dict__")
