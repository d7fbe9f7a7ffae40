"""The official Python SDK against our hub: every method and event it has."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.interop.conftest import RunningHub

pytestmark = pytest.mark.interop

Start = Callable[[str], "subprocess.Popen[str]"]

SCENARIOS = [
    "connect_and_close",
    "token_names_the_peer",
    "bad_credentials",
    "expired_token",
    "publish_and_subscribe",
    "sender_metadata",
    "direct_messages",
    "presence",
    "event_streams_and_once",
    "error_codes",
    "too_big",
    "uncorrelated_error",
    "keepalive",
    "reconnects_and_resubscribes",
    "provider_failures",
    "metered_peers",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, hub: RunningHub, sdk: Start) -> None:
    process = sdk(scenario)
    output, _ = process.communicate(json.dumps(hub.facts()), timeout=45)
    assert process.returncode == 0, output


def test_going_away(own_hub: RunningHub, sdk: Start) -> None:
    with sdk("going_away") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(own_hub.facts()))
        process.stdin.close()
        assert process.stdout.readline() == "ready\n"
        own_hub.process.send_signal(signal.SIGTERM)
        output = process.stdout.read()
        assert process.wait(45) == 0, output
    assert own_hub.process.wait(10) == 0
