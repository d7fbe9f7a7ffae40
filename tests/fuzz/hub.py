"""Fuzz a whole hub: its HTTP side, the upgrade, and the frames of connections that got in.

    python -m tests.fuzz.hub --seconds 60 [--seed 1]

Streams of bytes, honest, damaged or mad, go through the real protocol classes, cut anywhere, on virtual time.
Whatever they are: nothing fails inside, every answer is well-formed and repeats no credential, another client
is served, and a minute later nothing is left of them. Then the same over sockets. The default suite runs a
bounded version (`test_hub.py`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentbus.runtime.virtual import VirtualLoop
from tests.fuzz.decoders import damaged, texts
from tests.hub.server.door import (
    KEY,
    UPGRADE,
    Caller,
    Door,
    app,
    close_code,
    frames_of,
    say,
    text_frame,
    texts_of,
)
from tests.hub.server.running import running_hub, until, upgrade

SECRET_QUERY = "do-not-repeat-me"
GOOD_UPGRADE = UPGRADE % (f"key={KEY}".encode(), b"")
OPCODES_OF_A_HUB = {1, 8, 9, 10}
SETTLED = 90.0  # seconds: more than any time-out of a hub

# -- what is sent --------------------------------------------------------------------------------------------

small = st.binary(max_size=24)
lengths = st.sampled_from([0, 1, 5, 125, 126, 127, 65535, 65536, 66560, 66561, 2**31, 2**63 - 1, 2**64 - 1])


rarely = st.integers(0, 19).map(lambda number: number == 13)  # not at an end, which hypothesis prefers


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Write one frame, most of the time as RFC 6455 has it."""
    payload = draw(st.one_of(texts(), damaged(), small))
    first = draw(st.sampled_from([0x81] * 6 + [0x82, 0x89, 0x8A]))
    if draw(rarely):
        first = draw(st.sampled_from([0x88, 0x80, 0x00, 0x01, 0xC1, 0xA1, 0x91, 0x83, 0x8B]))
    if first & 0x08:
        payload = payload[:125]
    masked = 0 if draw(rarely) else 0x80
    claimed = draw(lengths) if draw(rarely) else len(payload)
    form = 0 if claimed < 126 else 2 if claimed < 65536 else 8
    form = draw(st.sampled_from([2, 8])) if draw(rarely) else form
    if form == 2:
        header = bytes((first, masked | 126)) + min(claimed, 65535).to_bytes(2, "big")
    elif form == 8:
        header = bytes((first, masked | 127)) + claimed.to_bytes(8, "big")
    else:
        header = bytes((first, masked | claimed))
    return header + (bytes(4) if masked else b"") + payload


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Upgrade, then talk; now and then in fragments."""
    said = draw(st.lists(frames(), min_size=1, max_size=8))
    if draw(rarely):
        said += [b"\x01\x81" + bytes(4) + b"{", b"\x00\x80" + bytes(4), b"\x80\x81" + bytes(4) + b"}"]
    return GOOD_UPGRADE + b"".join(said)


targets = st.sampled_from(
    [
        b"/v1?key=" + KEY.encode(),
        b"/v1?token=" + SECRET_QUERY.encode(),
        b"/v1?key=%ff%00" + SECRET_QUERY.encode(),
        b"/v1",
        b"/v2",
        b"/healthz",
        b"/metrics?x=" + SECRET_QUERY.encode(),
        b"*",
        b"http://evil/v1",
        b"//",
        b"/%2e%2e/%00",
        b"/" + b"a" * 70_000,
        b"\xff\xfe",
        b"",
    ]
)
bad_header_lines = st.sampled_from(
    [
        b"Host: other",
        b"Upgrade: h2c",
        b"Connection: keep-alive, Upgrade",
        b"Connection: close",
        b"Sec-WebSocket-Key: x",
        b"Sec-WebSocket-Version: 8",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99",
        b"Sec-WebSocket-Protocol: a, b",
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"X-Forwarded-For: 1.2.3.4, ::1, \xff, fe80::1%x",
        b"X-Request-Id: a\x00b",
        b"Authorization: Bearer \xff" + SECRET_QUERY.encode(),
        b"Origin: null",
        b" folded: x",
        b"No colon",
        b": empty",
        b"X: " + b"y" * 30_000,
    ]
)


UPGRADE_LINES = [
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Sec-WebSocket-Key: MDAwMDAwMDAwMDAwMDAwMA==",
    b"Sec-WebSocket-Version: 13",
]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Write one HTTP request, or what should be one."""
    method = draw(st.sampled_from([b"GET"] * 4 + [b"POST", b"PUT", b"DELETE"]))
    version, end = b"HTTP/1.1", b"\r\n"
    if draw(rarely):
        method = draw(st.sampled_from([b"CONNECT", b"PRI", b"\x16\x03", b""]))
    if draw(rarely):
        version = draw(st.sampled_from([b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9", b""]))
    if draw(rarely):
        end = draw(st.sampled_from([b"\n", b"\r"]))
    lines = [b"Host: hub", *(UPGRADE_LINES if draw(st.booleans()) else [])]
    lines += draw(st.lists(bad_header_lines, max_size=2))
    body = draw(st.sampled_from([b"", b"", b"12345", b"5\r\n12345\r\n0\r\n\r\n", b"fffffffffffffffff\r\n"]))
    return end.join((b"%s %s %s" % (method, draw(targets), version), *lines, b"", b"")) + body


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Put something together and cut it into chunks; now and then damage it."""
    said = st.lists(requests(), max_size=3).map(b"".join)
    data = draw(small if draw(rarely) else conversations() if draw(st.booleans()) else said)
    if draw(rarely) and data:
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(small) + data[at + draw(st.integers(0, 4)) :]
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# -- what must hold ------------------------------------------------------------------------------------------


class Alarms(logging.Handler):
    """Keeps what any library logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class Target:
    """A hub under fire."""

    def __init__(self) -> None:
        self._alarms = Alarms()
        self._loop = VirtualLoop()

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self._alarms)
        self._loop.__enter__()
        self.door = Door(self._loop, app(max_connections=20), connects_per_minute_per_address=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.__exit__(kind, error, trace)
        logging.getLogger().removeHandler(self._alarms)

    def fire(self, chunks: list[bytes]) -> None:
        """Send one stream and check what must hold."""
        caller = self.door.call(*chunks)
        self._check_answer(caller)
        self._check_others()
        if caller.transport is not None and not caller.gone:
            caller.transport.abort()
        self._loop.advance(SETTLED)
        self._check_answer(caller)
        self._check_nothing_is_left()

    def _check_answer(self, caller: Caller) -> None:
        assert SECRET_QUERY.encode() not in caller.data
        assert KEY.encode() not in caller.data
        if not caller.data.startswith(b"HTTP/1.1 101 "):
            assert not caller.data or caller.data.startswith(b"HTTP/1.1 "), caller.data[:40]
            return
        for opcode, payload in frames_of(caller):
            assert opcode in OPCODES_OF_A_HUB
            assert opcode != 1 or isinstance(json.loads(payload)["type"], str)
        code = close_code(caller)
        assert code is None or code == 0 or 1000 <= code < 5000

    def _check_others(self) -> None:
        canary = self.door.upgrade()
        say(canary, "ping", requestId="alive")
        self._loop.run_until_idle()
        assert {"type": "pong", "requestId": "alive"} in texts_of(canary)
        assert canary.transport is not None
        canary.transport.abort()

    def _check_nothing_is_left(self) -> None:
        self._loop.raise_exceptions()
        assert self._alarms.lines == []
        shell = self.door.shell
        assert not shell.handlers
        assert not shell.entrance.waiting
        assert not self.door.state.connections
        assert shell.hub.connections() == 0
        for one in shell.hub.apps():
            assert not one.channels
            assert not one.peers


class RealTarget:
    """A hub on a real port under the same fire, over real sockets."""

    def __init__(self) -> None:
        self._alarms = Alarms()
        self._loop = asyncio.new_event_loop()
        self._running = running_hub()

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self._alarms)
        self._hub = self._loop.run_until_complete(self._running.__aenter__())
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._loop.run_until_complete(self._settle())
            self._loop.run_until_complete(self._running.__aexit__(None, None, None))
        finally:
            self._loop.close()
            logging.getLogger().removeHandler(self._alarms)
        assert self._alarms.lines == []

    def fire(self, chunks: list[bytes]) -> None:
        """Send one stream and see that another client is served."""
        self._loop.run_until_complete(self._fire(chunks))
        assert self._alarms.lines == []

    async def _fire(self, chunks: list[bytes]) -> None:
        port = self._hub.port
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        for chunk in chunks:
            writer.write(chunk)
            await asyncio.sleep(0)
        canary = await asyncio.open_connection("127.0.0.1", port)
        assert b"welcome" in await upgrade(canary)
        canary[1].write(text_frame(b'{"type":"ping","requestId":"alive"}'))
        assert b"alive" in await canary[0].read(65536)
        for one in (writer, canary[1]):
            one.transport.abort()

    async def _settle(self) -> None:
        shell = self._hub.shell
        await until(lambda: not shell.handlers and not shell.entrance.waiting)
        assert shell.hub.connections() == 0


def rounds(
    seconds: float, seed: int, examples: int = 500, make: Callable[[], Target | RealTarget] = Target
) -> int:
    """Fuzz until the time is up, a round at least; return how many streams were tried."""
    tried = 0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(chunks=streams())
    def one_round(target: Any, chunks: list[bytes]) -> None:
        nonlocal tried
        tried += 1
        target.fire(chunks)

    end = time.monotonic() + seconds
    while not tried or time.monotonic() < end:
        with make() as target:
            hypothesis.seed(seed)(one_round)(target)
        seed += 1
    return tried


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.hub", description="fuzz a whole hub")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    chosen = parser.parse_args()
    print(f"from seed {chosen.seed} on", file=sys.stderr)
    tried = rounds(chosen.seconds / 2, chosen.seed)
    tried += rounds(chosen.seconds / 2, chosen.seed, make=RealTarget)
    print(f"{tried} streams, no failure")


if __name__ == "__main__":
    main()
