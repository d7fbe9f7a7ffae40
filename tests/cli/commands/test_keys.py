from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from agentbus.hub.server.settings import load_settings
from tests.cli.conftest import Run


def test_init_writes_a_configuration_that_the_hub_takes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("keys", "init", "--app", "shop")
    assert ran.code == 0
    assert "agentbus serve --config hub.toml" in ran.err
    assert (tmp_path / "hub.toml").stat().st_mode & 0o077 == 0
    app = load_settings(tmp_path / "hub.toml").hub.apps[0]
    assert app.id == "shop"
    assert app.publishable_keys[0].key in ran.out
    assert app.secret_keys[0].id in ran.out
    assert app.secret_keys[0].secret not in ran.out + ran.err


def test_init_never_overwrites(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text("precious")
    code, out, err = run("keys", "init", str(path))
    assert (code, out) == (2, "")
    assert "exists already" in err
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    ran = run("keys", "init", str(tmp_path / "no" / "hub.toml"))
    assert ran.code == 2
    assert "No such file" in ran.err


def test_new_prints_a_section_that_the_hub_takes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "hub.toml"
    path.write_text(run("keys", "new").out)
    assert load_settings(path).hub.apps[0].id == "main"


def test_new_keys_differ_and_come_as_json(run: Run) -> None:
    first, second = (msgspec.json.decode(run("keys", "new", "--json").out) for _ in range(2))
    assert set(first) == {"app", "publishable_key", "secret_id", "secret"}
    assert not {*first.values()} & {*second.values()} - {"main"}


def test_an_app_id_that_no_hub_takes_is_refused(run: Run) -> None:
    ran = run("keys", "new", "--app", 'a"\n[x]')
    assert ran.code == 2
    assert "--app" in ran.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(run: Run, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in run("keys", "init", str(tmp_path / "hub.toml")).err
