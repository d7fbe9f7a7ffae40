from __future__ import annotations

from typing import Any

import pytest

from agentbus.agents.trust import Trust, node_metadata


def test_a_node_token_of_this_namespace_is_believed() -> None:
    trust = Trust("tokens", "prod")
    assert trust.is_node(node_metadata("test", "prod"))
    assert not trust.is_node(node_metadata("test"))


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [],
        "node",
        {},
        {"agentbus": None},
        {"agentbus": []},
        {"agentbus": {"role": "node"}},
        {"agentbus": {"ns": "prod", "role": "node"}},
        {"agentbus": {"ns": ["prod"]}},
        {"agentbus": {"ns": ["prod"], "role": "guest"}},
        {"agentbus": {"ns": [["prod"]], "role": "node"}},
    ],
)
def test_anything_else_is_a_strangers(metadata: Any) -> None:
    assert not Trust("tokens", "prod").is_node(metadata)
    assert Trust("all", "prod").is_node(metadata)


def test_there_are_two_modes() -> None:
    mode: Any = "some"
    with pytest.raises(ValueError, match="tokens"):
        Trust(mode, "prod")
