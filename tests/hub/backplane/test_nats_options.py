"""Where NATS is and as whom we come; secrets show nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentbus.errors import HubConfigError
from agentbus.hub.backplane.nats_options import NatsOptions, parse_nats_url


def test_a_url_names_servers_and_user_once_for_all() -> None:
    options = parse_nats_url("nats://u%40x:p%3Aw@one:4333, nats://two,nats://[::1]:1")
    assert options.servers == ("nats://one:4333", "nats://two:4222", "nats://[::1]:1")
    assert (options.user, options.password, options.token) == ("u@x", "p:w", None)
    assert parse_nats_url("nats://s3cr3t@one").token == "s3cr3t"
    assert parse_nats_url("nats://one") == NatsOptions(servers=("nats://one:4222",))


def test_tls_is_on_where_it_is_said_or_a_file_of_it_is_given(tmp_path: Path) -> None:
    assert not parse_nats_url("nats://one").tls
    assert parse_nats_url("tls://one").tls
    options = parse_nats_url("nats://one", ca_file=tmp_path / "ca.pem")
    with pytest.raises(HubConfigError, match="a TLS file can't be used: No such file"):
        options.ssl_context()


@pytest.mark.parametrize(
    "url", ["one:4222", "http://one", "nats://", "nats://u:s3cr3t@one:port", "nats://u:s3cr3t@one/path"]
)
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(HubConfigError) as refused:
        parse_nats_url(url)
    assert "s3cr3t" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_secrets_are_in_no_repr() -> None:
    for url in ("nats://user:s3cr3t@one", "nats://s3cr3t@one"):
        assert "s3cr3t" not in repr(parse_nats_url(url))


def test_a_credentials_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HubConfigError, match=r"backplane: credentials_file: there is no file .*hub\.creds"):
        parse_nats_url("nats://one", credentials_file=tmp_path / "hub.creds")
