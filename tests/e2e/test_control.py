"""A running hub whose configuration changes under its clients, and one that is killed."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from agentbus import DisconnectedEvent, EventStream, SignallingClient, SignallingConnectError
from agentbus.hub.server.tokens import mint

pytestmark = pytest.mark.e2e
SOON = 40  # seconds, for a machine with much else to do
SECRET = "sk_secret_0123456789abcdef0123456789abcdef"
PAIR = f'[[apps.secret_keys]]\nid = "sk_id_a"\nsecret = "{SECRET}"\n'


def app(*keys: str, suspended: bool = False, name: str = "a", pair: str = PAIR) -> str:
    text = f'[[apps]]\nid = "{name}"\nsuspended = {str(suspended).lower()}\n{pair}'
    return text + "".join(
        f'[[apps.publishable_keys]]\nkey = "{key}"\nchannel_patterns = ["**"]\n' for key in keys
    )


class Hub:
    """A hub in a process of its own, its configuration and what it says."""

    def __init__(self, stack: ExitStack, folder: Path, text: str, *options: str) -> None:
        self._stack = stack
        self._options = options
        self.config = folder / "hub.toml"
        self.config.write_text(text)
        self._data = folder / "data"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "agentbus", "serve", "--config", str(self.config), "--port", "0"]
        command += ["--data-dir", str(self._data), *self._options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._stack.enter_context(self.process)
        self._stack.callback(self.process.kill)
        self.url = self.line("hub ready").split()[-1]

    def line(self, words: str) -> str:
        """Read on to the line that holds these words."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if words in line:
                return line
        raise AssertionError(f"the hub ended without a word of {words!r}")

    def reload(self, text: str, words: str) -> str:
        self.config.write_text(text)
        self.process.send_signal(signal.SIGHUP)
        return self.line(words)

    def run(self, *arguments: str, **variables: str) -> str:
        """Run a command as the operator."""
        command = [sys.executable, "-m", "agentbus", *arguments, "--url", self.url]
        environment = {"AGENTBUS_SECRET_KEY": f"sk_id_a:{SECRET}", **variables}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SOON, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def client(
        self, **credential: object
    ) -> Generator[tuple[SignallingClient, EventStream[DisconnectedEvent]]]:
        with (
            SignallingClient(url=self.url, **credential) as client,  # type: ignore[arg-type]
            client.events(DisconnectedEvent) as events,
        ):
            yield client, events


@pytest.fixture
def stack() -> Generator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_configuration_changes_under_open_connections(stack: ExitStack, tmp_path: Path) -> None:
    hub = Hub(stack, tmp_path, app("pk_stays", "pk_goes"))
    token = mint("sk_id_a", SECRET, subject="alice", issued_at=time.time())
    with (
        hub.client(api_key="pk_stays") as (stays, last),
        hub.client(api_key="pk_goes") as (_, gone),
        hub.client(token_provider=lambda: token) as (_, signed),
    ):
        hub.reload(app("pk_stays", "pk_comes", pair=PAIR.replace("0123", "3210")), "configuration reloaded")
        for ended in (gone.get(timeout=SOON), signed.get(timeout=SOON)):
            assert (int(ended.code), ended.will_reconnect) == (4001, False)
        with hub.client(api_key="pk_comes"):
            stays.publish("a", 1).get(timeout=SOON)
        refused = hub.reload("[[apps]", "refused")
        assert f"{hub.config}: is not TOML" in refused
        stays.publish("a", 1).get(timeout=SOON)
        hub.reload("[server]\nport = 1\n" + app("pk_stays", suspended=True), "server.port takes a restart")
        assert int(last.get(timeout=SOON).code) == 4012
    with pytest.raises(SignallingConnectError, match="4012"):
        SignallingClient(api_key="pk_stays", url=hub.url).connect().get(timeout=SOON)


def test_commands_ask_over_tls(stack: ExitStack, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    files = [tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem")]
    certificate.cert_chain_pems[0].write_to_path(files[0])
    certificate.private_key_pem.write_to_path(files[1])
    authority.cert_pem.write_to_path(files[2])
    tls = ("--host", "localhost", "--tls-cert", str(files[0]), "--tls-key", str(files[1]))
    hub = Hub(stack, tmp_path, app("pk_a"), *tls)
    assert hub.url.startswith("wss://localhost:")
    assert json.loads(hub.run("usage", "--json", SSL_CERT_FILE=str(files[2])))["appId"] == "a"


@pytest.mark.slow
def test_the_counts_of_a_hub_that_is_killed_are_five_seconds_old_at_most(
    stack: ExitStack, tmp_path: Path
) -> None:
    hub = Hub(stack, tmp_path, app("pk_a"))
    hub.run("pub", "a", "1")
    with pytest.raises(subprocess.TimeoutExpired):
        hub.process.wait(timeout=6)  # nothing happens for so long
    hub.process.kill()
    hub.process.wait()
    hub.start()
    assert json.loads(hub.run("usage", "--json"))["messagesUsed"] == 1
