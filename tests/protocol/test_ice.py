from __future__ import annotations

from typing import Any

import pytest

from agentbus.protocol import IceServer, ice_servers


def servers(*entries: Any) -> list[IceServer] | None:
    return ice_servers({"iceServers": list(entries)})


def test_well_formed_servers_come_through_in_order() -> None:
    assert servers(
        {"urls": "stun:s.example"},
        {"urls": ["turn:t.example?transport=udp", "TURNS:t.example"], "username": "u", "credential": "c"},
    ) == [
        IceServer(("stun:s.example",)),
        IceServer(("turn:t.example?transport=udp", "TURNS:t.example"), "u", "c"),
    ]


def test_an_empty_list_stays_an_empty_list() -> None:
    assert servers() == []


@pytest.mark.parametrize(
    "metadata", [None, {}, {"iceServers": None}, {"iceServers": {}}, {"iceServers": "stun:x"}]
)
def test_no_list_is_absent(metadata: dict[str, Any] | None) -> None:
    assert ice_servers(metadata) is None


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "stun:x",
        [],
        {},
        {"urls": None},
        {"urls": []},
        {"urls": ""},
        {"urls": 7},
        {"urls": ["stun:a", 7]},
        {"urls": ["stun:a", "http://b"]},
        {"urls": "javascript:alert(1)"},
        {"urls": "xstun:a"},
        {"urls": "stun"},
        {"urls": "stun:" + "a" * 508},
        {"urls": "stun:a", "username": "u" * 1025},
        {"urls": "stun:a", "credential": "c" * 1025},
    ],
)
def test_one_bad_entry_spoils_the_list(entry: Any) -> None:
    assert servers({"urls": "stun:a"}, entry) is None


def test_limits_are_inclusive() -> None:
    assert servers(*[{"urls": "stun:a"}] * 16) == [IceServer(("stun:a",))] * 16
    assert servers(*[{"urls": "stun:a"}] * 17) is None
    longest = {"urls": "stun:" + "a" * 507, "username": "u" * 1024, "credential": "c" * 1024}
    assert servers(longest) is not None


def test_a_username_or_credential_that_is_no_string_is_dropped_and_its_entry_kept() -> None:
    assert servers({"urls": "turn:t", "username": 7, "credential": ["c"]}) == [IceServer(("turn:t",))]


def test_the_credential_is_not_in_the_repr() -> None:
    assert "s3cret" not in repr(IceServer(("turn:t",), "u", "s3cret"))
