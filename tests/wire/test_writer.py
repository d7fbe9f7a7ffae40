from __future__ import annotations

import pytest

from agentbus.runtime import VirtualLoop
from agentbus.wire.writer import Flusher


class Written:
    """A connection that counts its writes, or can't write."""

    def __init__(self, *, broken: bool = False) -> None:
        self.writes = 0
        self._broken = broken

    def flush(self) -> None:
        if self._broken:
            raise RuntimeError("the transport is gone")
        self.writes += 1


def test_a_connection_that_cannot_write_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    loop = VirtualLoop()
    flusher = Flusher(loop)
    first, broken, last, later = Written(), Written(broken=True), Written(), Written()
    for connection in (first, broken, last):
        flusher.mark(connection)
    loop.call_soon(flusher.mark, later)
    loop.call_later(1.0, loop.stop)
    loop.run_forever()
    loop.close()
    assert [first.writes, last.writes, later.writes] == [1, 1, 1]
    assert "the transport is gone" in caplog.text
