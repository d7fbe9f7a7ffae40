from __future__ import annotations

import dataclasses
import logging
import math
from typing import Any, get_type_hints

import pytest

from agentbus.client import ReconnectOptions, SignallingClientOptions
from agentbus.client.options import SignallingClientFields
from agentbus.errors import InvalidUrlError

KEY = "pk_live_x"


def test_the_defaults_of_the_reference_page() -> None:
    options = SignallingClientOptions(api_key=KEY)
    assert options.url == "wss://rms.metered.ca"
    assert options.auto_reconnect
    assert options.auto_resubscribe
    assert options.inactivity_timeout == 60.0
    assert options.token_provider_timeout == 10.0
    assert options.size_check
    assert options.logger is None
    assert dataclasses.asdict(options.reconnect) == {
        "initial_delay": 0.5,
        "multiplier": 2.0,
        "max_delay": 30.0,
        "jitter_ratio": 0.2,
        "max_attempts": 100,
    }


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"api_key": KEY, "token_provider": str},
        {"api_key": ""},
        {"api_key": b"bytes"},
        {"token_provider": "no function"},
        {"api_key": KEY, "inactivity_timeout": -1.0},
        {"api_key": KEY, "inactivity_timeout": math.inf},
        {"api_key": KEY, "inactivity_timeout": math.nan},
        {"api_key": KEY, "token_provider_timeout": 0.0},
        {"api_key": KEY, "max_unsent_bytes": 0},
        {"api_key": KEY, "max_pending_requests": 0},
    ],
)
def test_values_that_make_no_sense(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        SignallingClientOptions(**fields)


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.example",
        "ws://hub.example",
        "wss://hub.example/path",
        "wss://hub.example?x=1",
        "wss://hub.example#x",
        "wss://user@hub.example",
        "",
    ],
)
def test_urls_that_the_protocol_refuses(url: str) -> None:
    with pytest.raises(InvalidUrlError):
        SignallingClientOptions(api_key=KEY, url=url)


@pytest.mark.parametrize(
    "url",
    ["wss://hub.example", "wss://hub.example:8443/", "ws://localhost:7700", "ws://127.0.0.1", "ws://[::1]:1"],
)
def test_urls_that_it_takes(url: str) -> None:
    assert SignallingClientOptions(api_key=KEY, url=url).origin.text.startswith("ws")


def test_options_are_frozen_values() -> None:
    options: Any = SignallingClientOptions(api_key=KEY, reconnect=ReconnectOptions(max_attempts=3))
    with pytest.raises(AttributeError):
        options.size_check = False
    assert options == SignallingClientOptions(api_key=KEY, reconnect=ReconnectOptions(max_attempts=3))
    assert options != SignallingClientOptions(api_key=KEY)


def test_the_keywords_of_the_client_are_the_fields_of_the_options() -> None:
    assert get_type_hints(SignallingClientFields).keys() == set(SignallingClientOptions.__struct_fields__)


def test_a_repr_that_helps() -> None:
    shown = repr(SignallingClientOptions(api_key=KEY, logger=logging.getLogger("mine")))
    assert "url='wss://rms.metered.ca'" in shown
    assert KEY not in shown
