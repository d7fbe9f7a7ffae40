"""A small HTTP server that says how workers are: `GET /healthz`, `GET /readyz`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from agentbus.agents.queues.parent import PlaceReport

READ_TIMEOUT = 5.0
"""Seconds that a client gets to say what it wants."""


STOP_INTERVAL = 0.1
"""Seconds between two looks whether the server is to end."""


class Totals(msgspec.Struct, frozen=True):
    """All places of a fleet together.

    Attributes:
        processes: that run.
        places: that there are.
        attached: processes that have found their queue.
        draining: processes that take no more jobs.
        running: jobs that are being handled.
        slots: jobs that could be.
        stuck: handlers that go on though their attempts are over, and that nothing can end.
        over: jobs whose end the queue has taken note of, also by processes that have ended meanwhile.
        failed: attempts among them that failed.
        memory: bytes that the processes use.
        missing: why no jobs are taken, in words, as a process says that has not found its queue.
    """

    processes: int = 0
    places: int = 0
    attached: int = 0
    draining: int = 0
    running: int = 0
    slots: int = 0
    stuck: int = 0
    over: int = 0
    failed: int = 0
    memory: int = 0
    missing: str = ""

    @property
    def ready(self) -> bool:
        """Whether jobs are taken."""
        return self.attached > self.draining


def totals_of(places: Sequence[PlaceReport]) -> Totals:
    """Add up what the processes have said."""
    known = [place.report for place in places if place.report is not None]
    workers = [report.worker for report in known]
    return Totals(
        processes=sum(place.process is not None for place in places),
        places=len(places),
        attached=sum(worker.attached for worker in workers),
        draining=sum(worker.draining for worker in workers),
        running=sum(worker.running for worker in workers),
        slots=sum(worker.slots for worker in workers),
        stuck=sum(worker.stuck for worker in workers),
        over=sum(place.over for place in places) + sum(worker.over for worker in workers),
        failed=sum(place.failed for place in places) + sum(worker.failed for worker in workers),
        memory=sum(report.memory for report in known),
        missing=next((worker.missing for worker in workers if worker.missing), ""),
    )


def answer(path: str, places: Sequence[PlaceReport]) -> tuple[int, bytes]:
    """Give the status and the JSON of the answer to a `GET`.

    `/healthz` is 200 while the parent lives; `/readyz` is 200 while at least one process takes jobs.
    """
    if path not in {"/healthz", "/readyz"}:
        return 404, b'{"error":"there are /healthz and /readyz"}'
    totals = totals_of(places)
    well = path == "/healthz" or totals.ready
    body = {"status": "ok" if well else "not ready", **msgspec.structs.asdict(totals)}
    return (200 if well else 503), msgspec.json.encode(body)


class HealthServer:
    """Serves until it is stopped, on threads of its own.

    Args:
        address: host and port; port 0 for any that is free.
        places: how the places are, now.

    Attributes:
        port: where it listens.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, address: tuple[str, int], places: Callable[[], Sequence[PlaceReport]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = READ_TIMEOUT

            def do_GET(self) -> None:
                status, body = answer(self.path, places())
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as the base class has it
                """Log nothing: a probe comes every few seconds."""

        self._server = ThreadingHTTPServer(address, Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._serve, name="agentbus-health", daemon=True).start()

    def _serve(self) -> None:
        self._server.serve_forever(STOP_INTERVAL)

    def stop(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
