"""`doctor` on real sockets: a hub, a silent server, a server of another kind, nobody at all."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import msgspec
import pytest

from tests.cli.conftest import Run


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Generator[str]:
    """Serve every connection with one function; gives the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(timeout=5)


def steps(out: str) -> list[tuple[str, bool | None]]:
    return [(one["step"], one["ok"]) for one in map(msgspec.json.decode, out.splitlines())]


def test_a_healthy_hub_is_ok_at_every_step(run: Run, hub_url: str) -> None:
    ran = run("doctor", hub_url, "--json")
    assert ran.code == 0
    assert steps(ran.out) == [(step, True) for step in ("name", "tcp", "http", "credential", "clock")]


def test_a_refused_key_is_explained(run: Run, hub_url: str) -> None:
    ran = run("doctor", hub_url, "--key", "pk_live_wrong")
    assert ran.code == 1
    assert "FAIL  credential" in ran.out
    assert "4001" in ran.out
    assert "pk_live_wrong" not in ran.out


def test_a_bad_token_is_seen_before_the_hub_is_asked(run: Run, hub_url: str) -> None:
    ran = run("doctor", hub_url, "--token", "nonsense")
    assert ran.code == 1
    assert ran.out.startswith("FAIL  token")
    assert ran.out.count("FAIL") == 1
    assert "ok    tcp" in ran.out  # what does not depend on the token is tried
    assert ran.out.endswith("-     credential  not tried, because of token\n")


def test_nobody_there(run: Run) -> None:
    ran = run("doctor", "ws://127.0.0.1:9", "--json")
    assert ran.code == 1
    assert steps(ran.out) == [("name", True), ("tcp", False), ("http", None), ("credential", None)]
    assert "-     http        not tried, because of tcp" in run("doctor", "ws://127.0.0.1:9").out


def test_a_name_that_does_not_exist(run: Run) -> None:
    ran = run("doctor", "wss://no-such-host.invalid", "--key", "k", "--json")
    assert ran.code == 1
    left_out: list[tuple[str, bool | None]] = [(step, None) for step in ("tcp", "tls", "http", "credential")]
    assert steps(ran.out) == [("name", False), *left_out]


def test_a_port_that_speaks_no_tls(run: Run, hub_url: str) -> None:
    ran = run("doctor", hub_url.replace("ws:", "wss:"), "--json")
    assert ran.code == 1
    assert steps(ran.out)[-3:] == [("tls", False), ("http", None), ("credential", None)]
    assert "not TLS" in ran.out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-Something\r\n\r\n", "no HTTP answer"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "/v1"),
        (b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", "Retry-After: 7"),
        (
            b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n",
            "gateway",
        ),
        (b"\x1b[31mred", "connection closed"),
    ],
)
def test_a_server_of_another_kind(run: Run, answer: bytes, words: str) -> None:
    def reply(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    with server(reply) as url:
        ran = run("doctor", url)
    assert ran.code == 1
    assert "FAIL  http" in ran.out
    assert words in ran.out
    assert "\x1b" not in ran.out


def test_a_server_that_never_answers(run: Run) -> None:
    release = threading.Event()

    def wait(_: socket.socket) -> None:
        release.wait(10)

    with server(wait) as url:
        ran = run("doctor", url, "--timeout", "0.2")
        release.set()
    assert ran.code == 1
    assert "silence for 0.2 s" in ran.out
