"""The page about the control plane: its examples run, and answer in the shapes that it shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentbus import SignallingClient
from agentbus.hub.server.presets import DEV_SECRET, DEV_SECRET_ID
from agentbus.hub.server.rest.openapi import document
from tests.cli.conftest import hub_url as hub_url  # noqa: PLC0414 -- a fixture

pytestmark = pytest.mark.e2e
PAGE = (Path(__file__).parents[2] / "docs" / "control-plane.md").read_text()
SETTINGS = re.findall(r"^```sh\n(HUB=.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)[0]
EXAMPLES = re.findall(r"^```sh\n(curl.*?)^```\n```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [shape(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return type(value).__name__


def let_in(token: str, url: str) -> SignallingClient:
    return SignallingClient(token_provider=lambda: token, url=url)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_examples_answer_as_the_page_says(hub_url: str) -> None:
    assert f"PAIR={DEV_SECRET_ID}:{DEV_SECRET}" in SETTINGS
    settings = SETTINGS.replace("http://127.0.0.1:7700", hub_url.replace("ws:", "http:"))
    answers: list[Any] = []
    with ExitStack() as stack:
        for command, shown in EXAMPLES:
            done = subprocess.run(
                ["sh", "-c", settings + command], capture_output=True, timeout=30, check=True
            )
            answers.append(json.loads(done.stdout))
            assert shape(answers[-1]) == shape(json.loads(shown)), command
            if "token" in answers[-1]:
                alice = stack.enter_context(let_in(answers[-1]["token"], hub_url))
                alice.subscribe("rooms/a").get(timeout=30)
    assert len(answers) == 5
    for answer, (_, shown) in list(zip(answers, EXAMPLES, strict=True))[1:4]:
        assert answer == json.loads(shown)


def test_the_refusals_on_the_page_are_those_of_the_document() -> None:
    rows = re.findall(r"^\| (\d{3}) \| ", PAGE, flags=re.MULTILINE)
    described = {int(status) for status in document()["components"]["responses"]}
    assert {int(status) for status in rows} == described | {404, 405}
