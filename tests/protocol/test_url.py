from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.errors import InvalidUrlError
from agentbus.protocol import Origin, check_origin


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "text"),
    [
        ("wss://rms.metered.ca", "wss", "rms.metered.ca", 443, "wss://rms.metered.ca"),
        ("wss://rms.metered.ca/", "wss", "rms.metered.ca", 443, "wss://rms.metered.ca"),
        ("WSS://RMS.Metered.CA:443", "wss", "rms.metered.ca", 443, "wss://rms.metered.ca"),
        ("wss://hub:7700", "wss", "hub", 7700, "wss://hub:7700"),
        ("ws://localhost", "ws", "localhost", 80, "ws://localhost"),
        ("ws://LocalHost:7700", "ws", "localhost", 7700, "ws://localhost:7700"),
        ("ws://127.0.0.1:1", "ws", "127.0.0.1", 1, "ws://127.0.0.1:1"),
        ("ws://[::1]:7700/", "ws", "::1", 7700, "ws://[::1]:7700"),
        ("ws://[0:0:0:0:0:0:0:1]", "ws", "::1", 80, "ws://[::1]"),
        ("wss://[2001:DB8::1]", "wss", "2001:db8::1", 443, "wss://[2001:db8::1]"),
        ("wss://bücher.example", "wss", "xn--bcher-kva.example", 443, "wss://xn--bcher-kva.example"),
        ("wss://my_hub.internal", "wss", "my_hub.internal", 443, "wss://my_hub.internal"),
    ],
)
def test_good_urls(url: str, scheme: str, host: str, port: int, text: str) -> None:
    origin = check_origin(url)
    assert origin == Origin(scheme, host, port, text)
    assert origin.secure == (scheme == "wss")
    assert origin.host_header == text.split("//")[1]
    assert check_origin(origin.text) == origin


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ws://hub.example", "wss"),
        ("ws://127.0.0.2", "wss"),
        ("ws://localhost.evil.example", "wss"),
        ("ws://10.0.0.1", "wss"),
        ("http://localhost", "scheme"),
        ("https://hub", "scheme"),
        ("hub.example", "scheme"),
        ("//hub.example", "scheme"),
        ("", "scheme"),
        ("wss://", "host"),
        ("wss:///", "host"),
        ("wss://:80", "host"),
        ("wss:hub", "path"),
        ("wss://hub/v1", "path"),
        ("wss://hub//", "path"),
        ("wss://user@hub", "user"),
        ("wss://user:word@hub", "user"),
        ("wss://@hub", "user"),
        ("wss://hub?", "query"),
        ("wss://hub/?key=k", "query"),
        ("wss://hub#", "fragment"),
        ("wss://hub/#f", "fragment"),
        ("wss://hub:0", "port"),
        ("wss://hub:65536", "port"),
        ("wss://hub:x", "port"),
        ("wss://hub:-1", "port"),
        ("wss://[::1", "host"),
        ("wss://[v1.x]", "brackets|host"),
        ("wss://[fe80::1%eth0]", "brackets|host"),
        ("wss://a..b", "host"),
        ("wss://-a", "host"),
        ("wss://%41", "host"),
        ("wss://a,b", "host"),
        ("wss://hub\n", "blank"),
        (" wss://hub", "blank"),
        ("wss://hu\tb", "blank"),
        ("wss://hub\\@evil", "blank"),
        ("wss://hub\x00", "blank"),
    ],
)
def test_bad_urls(url: str, problem: str) -> None:
    with pytest.raises(InvalidUrlError, match=problem):
        check_origin(url)


@pytest.mark.parametrize("value", [None, 7, b"wss://hub"])
def test_only_strings_are_urls(value: Any) -> None:
    with pytest.raises(InvalidUrlError, match="string"):
        check_origin(value)


def test_the_error_does_not_repeat_the_url() -> None:
    with pytest.raises(InvalidUrlError) as caught:
        check_origin("wss://hub/?key=pk_live_hidden")
    assert "hidden" not in str(caught.value)
    assert "hidden" not in repr(caught.value.__dict__)


@given(
    tail=st.text(max_size=20), head=st.sampled_from(["", "wss://", "ws://localhost", "ws://[", "wss://a:"])
)
def test_nothing_else_is_ever_raised(head: str, tail: str) -> None:
    try:
        origin = check_origin(head + tail)
    except InvalidUrlError:
        return
    assert check_origin(origin.text) == origin
    assert 1 <= origin.port <= 65535
    assert origin.secure or origin.host in {"localhost", "127.0.0.1", "::1"}
