from __future__ import annotations

import errno
import socket
import ssl

import pytest

from agentbus.cli.doctor import explain
from agentbus.protocol import CloseCode, check_origin


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "nothing listens"),
        (TimeoutError(), "no answer within 3 s"),
        (OSError(errno.ENETUNREACH, "x"), "network is unreachable"),
        (OSError(errno.EIO, "odd fault"), "odd fault"),
    ],
)
def test_a_tcp_error_says_what_it_means(error: OSError, words: str) -> None:
    finding = explain.connection_error(error, "host port 1", 3.0)
    assert (finding.step, finding.ok) == ("tcp", False)
    assert words in finding.fact
    assert finding.advice


def test_a_missing_name_differs_from_a_silent_name_server() -> None:
    missing = explain.name_error(socket.gaierror(socket.EAI_NONAME, "unknown"), "h")
    silent = explain.name_error(socket.gaierror(socket.EAI_AGAIN, "again"), "h")
    assert "typo" in (missing.advice or "")
    assert "name server" in (silent.advice or "")


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("certificate has expired", "renew"),
        ("Hostname mismatch, certificate is not valid for 'h'", "another name than h"),
        ("self-signed certificate", "SSL_CERT_FILE"),
        ("certificate is not yet valid", "clock"),
    ],
)
def test_a_refused_certificate_says_what_to_do(verdict: str, words: str) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_message = verdict
    finding = explain.tls_error(error, "h")
    assert finding.fact == verdict
    assert words in (finding.advice or "")


@pytest.mark.parametrize(
    ("status", "words"), [(429, "Retry-After"), (404, "/v1"), (502, "gateway"), (418, "no hub")]
)
def test_an_http_status_says_who_answered(status: int, words: str) -> None:
    finding = explain.upgrade_status(status, "Reason", "7" if status == 429 else None)
    assert not finding.ok
    assert words in finding.fact + (finding.advice or "")


def test_an_accepted_upgrade_is_no_problem() -> None:
    assert explain.upgrade_status(101, "Switching Protocols", None).ok


@pytest.mark.parametrize("code", [*CloseCode, CloseCode.of(4999)])
def test_every_close_code_says_what_it_means_and_what_a_client_does(code: CloseCode) -> None:
    finding = explain.refusal(int(code), "server text")
    assert (finding.step, finding.ok) == ("credential", False)
    assert str(int(code)) in finding.fact
    assert code.explanation in (finding.advice or "")
    assert ("not try again" in (finding.advice or "")) is not code.retry.allowed


@pytest.mark.parametrize(
    ("offset", "ok", "words"), [(4.0, True, "agree"), (90.0, False, "ahead"), (-90.0, False, "behind")]
)
def test_a_clock_that_is_off_is_named(offset: float, ok: bool, words: str) -> None:
    finding = explain.clock(offset)
    assert finding.ok is ok
    assert words in finding.fact


def test_silence_on_a_plain_port_hints_at_tls() -> None:
    assert "wss" in (explain.no_http("x", check_origin("ws://localhost:1")).advice or "")
