"""The read path of one connection: from the bytes of a frame to whoever it is for, in the order of the wire.

    until the welcome    only a welcome is expected
    after it             frames wait: nobody shall hear of one while the client is not yet *connected*
    once announced       each frame goes to its place at once
    after goodbye        nothing is heard any more

It never raises for what a hub sent: a frame that can't be used is dropped, counted, and now and then logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from agentbus.client.heartbeat import Heartbeat
from agentbus.client.requests import Reply, Requests, WhenAcked
from agentbus.client.router import Router
from agentbus.client.throttle import Throttle
from agentbus.errors import FrameDecodeError, SignallingServerError
from agentbus.protocol.codec import ACK_HEAD, decode_server_frame, read_server_text, request_tail
from agentbus.protocol.codes import ErrorCode
from agentbus.protocol.fields import UNREADABLE
from agentbus.protocol.frames import (
    Ack,
    DirectFrame,
    ErrorFrame,
    GoingAway,
    MessageFrame,
    Pong,
    PresenceFrame,
    ServerFrame,
    Welcome,
)

Place = Callable[[Any], object]
_TAIL = len(ACK_HEAD)


class Inbound:
    """Take the frames of one connection to their places.

    Args:
        router: takes what is for listeners.
        requests: take what answers them.
        heartbeat: takes pongs.
        redact: takes our secret out of a text that a stranger wrote.
        log: where dropped frames are noted.
        now: seconds on a monotonic clock.
    """

    def __init__(
        self,
        router: Router,
        requests: Requests,
        heartbeat: Heartbeat,
        redact: Callable[[str], str],
        log: logging.Logger,
        now: Callable[[], float],
    ) -> None:
        self._router = router
        self._requests = requests
        self._heartbeat = heartbeat
        self._redact = redact
        self._log = log
        self._now = now
        self._throttle = Throttle()
        self._waiting: list[ServerFrame] = []
        self._places: dict[type, Place] = {}
        self._elsewhere: Place = self._misplaced
        self._take_acked: Callable[[bytes], Reply | None] = _nobody

    def expect_welcome(self, on_welcome: Callable[[Welcome], object]) -> None:
        """Take a welcome, and nothing else; what follows it waits for `flow`."""

        def welcome(frame: Welcome) -> None:
            self._places, self._elsewhere = {}, self._waiting.append
            on_welcome(frame)

        self._places = {Welcome: welcome}

    def flow(self) -> None:
        """Take every frame to its place, those first that have waited."""
        self._places, self._elsewhere = self._steady_places(), self._misplaced
        self._take_acked = self._requests.take
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            self._places.get(frame.__class__, self._elsewhere)(frame)

    def stop(self) -> None:
        """Hear nothing any more."""
        self._places, self._elsewhere = {}, _ignore
        self._take_acked = _nobody

    def read(self, payload: bytes) -> None:
        """Take one text frame to its place. Spec section 1: never raise for it, never disconnect for it."""
        if payload.startswith(ACK_HEAD):
            reply = self._take_acked(payload[_TAIL:])
            if reply is not None:
                reply.try_set(None)
                return
        frame: ServerFrame | None
        try:
            frame = read_server_text(payload)
        except UNREADABLE:
            frame = self._judge(payload)
            if frame is None:
                return
        self._places.get(frame.__class__, self._elsewhere)(frame)

    def _judge(self, payload: bytes) -> ServerFrame | None:
        """Make the best of a frame that can't be read straight away; or drop it."""
        try:
            return decode_server_frame(payload)
        except FrameDecodeError as error:
            self.drop(error.problem)
            return None

    def drop(self, problem: str) -> None:
        """Count a frame that can't be used; say so now and then."""
        self._router.view.frames_dropped += 1
        count = self._throttle.complain(self._now())
        if count:
            self._log.warning("dropped %d unusable frame(s), the last: %s", count, problem)

    # -- places ----------------------------------------------------------------------------------------------

    def _steady_places(self) -> dict[type, Place]:
        return {
            MessageFrame: self._router.message,
            DirectFrame: self._router.direct,
            PresenceFrame: self._router.presence,
            GoingAway: self._router.going_away,
            Ack: self._ack,
            ErrorFrame: self._error,
            Pong: self._pong,
        }

    def _ack(self, frame: Ack) -> None:
        """Take an ack that says more than yes, looks unusual, or comes late."""
        tail = request_tail(frame.request_id)
        reply = self._requests.take(tail)
        if frame.offset is not None:
            self._router.numbered(frame.channel, frame.offset)
        if reply is None:
            self._requests.late_ack(tail, frame)
        elif frame.position is not None and isinstance(reply, WhenAcked):
            reply.try_set_ack(frame)
        else:
            reply.try_set(None)

    def _error(self, frame: ErrorFrame) -> None:
        request_id = frame.request_id
        if request_id is None and frame.code == ErrorCode.UNKNOWN_TYPE and self._heartbeat.forgive():
            return  # spec 6: how an old hub answers a ping
        message = None if frame.message is None else self._redact(frame.message)
        reply = None if request_id is None else self._requests.take(request_tail(request_id))
        if reply is None:
            self._router.server_error(frame.code, message, request_id)
        else:
            reply.try_set_exception(SignallingServerError(frame.code, message, request_id))

    def _pong(self, _frame: Pong) -> None:
        self._heartbeat.answered()

    def _misplaced(self, frame: ServerFrame) -> None:
        self.drop(f"a {type(frame).__name__} frame that has no place here")


def _ignore(_frame: ServerFrame) -> None:
    """Hear nothing any more."""


def _nobody(_tail: bytes) -> None:
    """Know nobody who waits for an ack: frames wait, or are not heard any more."""
