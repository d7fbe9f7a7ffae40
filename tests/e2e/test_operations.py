"""A hub as an operator runs it: TLS from the file, JSON logs, metrics with a token, a unix socket."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.hub.server.running import Authority

pytestmark = pytest.mark.e2e
TOKEN = "metrics-token-of-16-and-more"
CONFIG = f"""
[server]
port = 0
tls_cert = "cert.pem"
tls_key = "key.pem"
metrics_token = "{TOKEN}"
trusted_proxies = ["unix"]
log_format = "json"
[[apps]]
id = "demo"
[[apps.publishable_keys]]
key = "pk_live_demo"
channel_patterns = ["**"]
"""
UPGRADE = (
    "GET /v1?key={key} HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: MDAwMDAwMDAwMDAwMDAwMA==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


@contextmanager
def serving(*arguments: str) -> Generator[tuple[subprocess.Popen[str], IO[str], str]]:
    command = [sys.executable, "-m", "agentbus", "serve", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            ready = process.stderr.readline()
            assert ready.startswith("agentbus hub ready on "), ready
            yield process, process.stderr, ready.split()[-1]
        finally:
            process.kill()


def ended(process: subprocess.Popen[str], err: IO[str]) -> list[str]:
    process.terminate()
    lines = err.read().splitlines()
    assert process.wait(30) == 0
    return lines


def test_tls_logs_and_metrics_of_one_file(tmp_path: Path) -> None:
    authority = Authority()
    authority.write(tmp_path)
    (tmp_path / "hub.toml").write_text(CONFIG)
    with serving("--config", str(tmp_path / "hub.toml")) as (process, err, url):
        assert url.startswith("wss://127.0.0.1:")
        port = int(url.rpartition(":")[2])
        for key in ("pk_live_demo", "pk_live_wrong"):
            raw = socket.create_connection(("127.0.0.1", port), 20)
            with authority.context.wrap_socket(raw, server_hostname="localhost") as client:
                client.sendall(UPGRADE.format(key=key, more="").encode())
                assert b" 101 " in client.recv(65536)
        metrics = _get(port, authority.context, f"Bearer {TOKEN}")
        assert 'agentbus_hub_connections_accepted_total{app="demo"} 1.0' in metrics
        lines = ended(process, err)
    records = [json.loads(line) for line in lines if line.startswith("{")]
    lives = [record for record in records if "ended_by" in record]
    assert [(life["app"], life["credential"], life["address"]) for life in lives] == [
        ("demo", "key", "127.0.0.1")
    ]
    assert [record["reason"] for record in records if "reason" in record] == ["4001"]
    assert not any(secret in "\n".join(lines) for secret in ("pk_live", TOKEN))


def _get(port: int, context: ssl.SSLContext, authorization: str) -> str:
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    try:
        forwarded = {"Authorization": authorization, "X-Forwarded-For": "203.0.113.7"}
        connection.request("GET", "/metrics", headers=forwarded)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode()
    finally:
        connection.close()


def test_a_unix_socket_behind_which_a_proxy_names_its_callers(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    text = CONFIG.replace('tls_cert = "cert.pem"\ntls_key = "key.pem"\n', "")
    (tmp_path / "hub.toml").write_text(text)
    with serving("--config", str(tmp_path / "hub.toml"), "--uds", str(path)) as (process, err, url):
        assert url == f"unix:{path}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(20)
            client.connect(str(path))
            more = "X-Forwarded-For: 203.0.113.7\r\n"
            client.sendall(UPGRADE.format(key="pk_live_demo", more=more).encode())
            assert b" 101 " in client.recv(65536)
        lines = ended(process, err)
    assert not path.exists()
    assert any('"address":"203.0.113.7"' in line for line in lines)
