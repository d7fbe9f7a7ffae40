"""The part of `serve` that refuses to start; a hub that runs is in tests/e2e."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_without_a_configuration_it_says_how_to_make_one(run: Run) -> None:
    code, out, err = run("serve")
    assert (code, out) == (2, "")
    assert "agentbus keys init" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("host", ["::", "192.0.2.1", "hub.example"])
def test_development_keys_stay_on_this_machine(run: Run, host: str) -> None:
    code, _, err = run("serve", "--dev", "--host", host)
    assert code == 2
    assert host in err


def test_a_mistake_in_the_configuration_names_file_key_and_problem(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text('[server]\nport = "x"\n')
    code, _, err = run("serve", "--config", str(path))
    assert code == 2
    assert f"{path}: server.port: " in err
    assert err.count("\n") == 1


def test_two_configurations_are_one_too_many(run: Run) -> None:
    assert run("serve", "--dev", "--config", "x").code == 2


def test_a_port_that_is_taken_is_said_in_words(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = run("serve", "--dev", "--port", str(port))
    assert code == 2
    assert err == (
        f"agentbus: 127.0.0.1:{port} is in use: stop what listens there, or name another port "
        "(0 picks a free one)\n"
    )


def test_an_address_of_another_machine_is_said_in_words(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text('[[apps]]\nid = "a"\n')
    code, _, err = run("serve", "--config", str(path), "--host", "192.0.2.1")
    assert code == 2
    assert "no network interface of this machine has that address" in err
    assert "attempting to bind" not in err
