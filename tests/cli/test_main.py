"""What holds for every command: exit codes, one line per problem, data on stdout and the rest on stderr."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

import msgspec
import pytest

from agentbus import errors
from agentbus.cli.exits import describe, missing_extra
from agentbus.cli.help import in_words
from agentbus.cli.main import main
from tests.cli.conftest import Run

COMMANDS = (
    "serve",
    "pub",
    "sub",
    "send",
    "peers",
    "kick",
    "usage",
    "token",
    "worker",
    "demo",
    "doctor",
    "version",
)


def test_the_version_is_data(run: Run) -> None:
    code, out, err = run("version")
    assert (code, err) == (0, "")
    assert out.startswith("agentbus ")
    assert msgspec.json.decode(run("version", "--json").out)["python"].startswith("3.")


def test_the_version_is_an_option_too(run: Run) -> None:
    code, out, err = run("--version")
    assert (code, err) == (0, "")
    assert out == run("version").out.splitlines(keepends=True)[0]


@pytest.mark.parametrize("command", [*COMMANDS, "keys init", "keys new", ""])
def test_help_fits_a_terminal_and_shows_no_type_of_python(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    lines = out.splitlines()
    assert [line for line in lines if len(line) > 80 or line.rstrip().endswith("...")] == [
        line for line in lines if line.startswith("Usage: ") and line.endswith("[CHANNEL]...")
    ] + [line for line in lines if line.endswith("COMMAND [ARGS]...")]
    assert not re.search(r"<(str|int|float|path|list)|x[<>]=|<=x", out)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ("How long. [default: 3600.0; 1<=x<=315360000.0]", "How long. [default: 3600; 1 to 315360000]"),
        ("Wait.  [default: 5.0; x>=0.1]", "Wait.  [default: 5; at least 0.1]"),
        ("The hub. [default: ws://127.0.0.1:7700]", "The hub. [default: ws://127.0.0.1:7700]"),
    ],
)
def test_ranges_are_said_in_words(facts: str, words: str) -> None:
    assert in_words(facts) == words


def test_without_a_command_the_help_names_every_command(run: Run) -> None:
    ran = run()
    for command in (*COMMANDS, "keys"):
        assert command in ran.out + ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pub", "room"], "JSON"),
        (["fly"], "fly"),
        (["pub", "room", "1", "--url", "http://x"], "not a valid hub URL"),
        (["pub", "room", "1", "--url", "wss://hub.example"], "needs a credential"),
        (["pub", "room", "1", "--key", "a", "--token", "b"], "not both"),
        (["pub", "", "1"], "not a valid channel"),
        (["send", "a\nb", "1"], "not a valid peer id"),
        (["sub"], "name a channel"),
        (["sub", "room", "--count", "-1"], "count"),
    ],
)
def test_wrong_usage_is_2_and_says_what(run: Run, arguments: list[str], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_a_hub_that_is_not_there_is_1_and_points_to_the_doctor(run: Run) -> None:
    code, out, err = run("pub", "room", "1", "--url", "ws://127.0.0.1:9")
    assert (code, out) == (1, "")
    assert err.startswith("agentbus: no connection to ws://127.0.0.1:9: refused, nothing listens there; ")
    assert "`agentbus doctor ws://127.0.0.1:9`" in err
    assert err.count("\n") == 1


def test_text_of_a_server_cannot_forge_lines(capsys: pytest.CaptureFixture[str]) -> None:
    from agentbus.cli.console import complain

    complain(describe(errors.SignallingServerError("nope", "bad\nagentbus: all is well\x1b[2J", "1")))
    assert capsys.readouterr().err == (
        "agentbus: the hub refused the request (nope): bad\\nagentbus: all is well\\x1b[2J\n"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.SignallingConnectError(4001, "bad key"), "closed with 4001, the key or token"),
        (errors.SignallingConnectError(1006, "slow", http_status=429), "HTTP status 429"),
        (errors.SignallingConnectError(1006), "died without a goodbye"),
        (errors.SignallingConnectError(1006, "gaierror: No such name"), "no connection: No such name"),
        (errors.SignallingConnectError(1006, "TimeoutError"), "no connection: timed out"),
        (errors.AckTimeoutError(15.0), "no ack within 15 s"),
    ],
)
def test_errors_say_what_happened(error: errors.AgentBusError, words: str) -> None:
    assert words in describe(error)


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    error = ModuleNotFoundError("No module named 'sklearn.decomposition'", name="sklearn.decomposition")
    assert missing_extra(error) == "this needs sklearn, which is not installed: pip install 'agentbus[demo]'"
    assert missing_extra(ModuleNotFoundError("x", name="somebody.elses")) is None


def test_without_typer_one_line_says_which_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without_typer(
        name: str,
        scope: Mapping[str, object] | None = None,
        local: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if name == "typer":
            raise ModuleNotFoundError("No module named 'typer'", name="typer")
        return real(name, scope, local, fromlist, level)

    for module in [
        name for name in sys.modules if name.startswith(("agentbus.cli.app", "agentbus.cli.exits"))
    ]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr("agentbus.cli.exits", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_typer)
    with pytest.raises(SystemExit) as ended:
        main(["version"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "agentbus: the agentbus command needs typer and rich: pip install 'agentbus[cli]'\n"
    )
