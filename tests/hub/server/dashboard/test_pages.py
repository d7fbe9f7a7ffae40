"""The dashboard of a hub on a socket: who gets in, what is shown to whom, what is done."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import replace
from typing import Any

import pytest

from agentbus.hub.core import HubConfig, Limits, PublishableKey, SecretKey
from agentbus.hub.server.server import Listen
from agentbus.hub.server.tokens import mint
from tests.hub.server.dashboard.browsing import Browser, in_channel, peer_of
from tests.hub.server.door import KEY, SECRET, app
from tests.hub.server.running import run, running_hub, until

UNRATED = Limits(connects_per_minute_per_address=0)


def hub_of(*apps: Any, **limits: Any) -> HubConfig:
    return HubConfig(apps=apps, limits=Limits(**({"connects_per_minute_per_address": 0} | limits)))


def pair(name: str, **changes: Any) -> SecretKey:
    return SecretKey(id=f"sk_id_{name}", secret=SECRET, **changes)


def test_nobody_sees_a_page_without_signing_in() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            for path in ("/", "/dashboard/connections", "/dashboard/channels", "/dashboard/channel?name=a"):
                page = await browser.get(path)
                assert (page.status, page.header("location")) == (303, "/dashboard/login")
            for path in ("/dashboard/kick", "/dashboard/logout"):
                page = await browser.post(path, peer="peer-1", form_token="")
                assert (page.status, page.header("location")) == (303, "/dashboard/login")
            async with browser.live("view=overview") as stream:
                assert stream.status == 204

    run(main())


def test_a_pair_signs_in_and_its_cookie_is_for_this_site_alone() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            page = await browser.sign_in()
            assert (page.status, page.header("location")) == (303, "/")
            (cookie,) = [value for name, value in page.headers if name == "set-cookie"]
            assert {"HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
            page = await browser.get("/")
            assert page.status == 200
            assert "App test, on this hub" in page.text.replace(" ,", ",")
            assert SECRET not in page.html

    run(main())


def test_pages_forbid_everything_that_does_not_come_from_the_hub() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            await browser.sign_in()
            await in_channel(server.port, "rooms/a")
            paths = ("/", "/dashboard/connections", "/dashboard/channels", "/dashboard/channel?name=rooms/a")
            for path in paths:
                page = await browser.get(path)
                policy = page.header("content-security-policy")
                assert policy.startswith("default-src 'none'")
                assert "unsafe" not in policy
                assert page.header("cache-control") == "no-store"
                assert page.header("x-frame-options") == "DENY"
                assert not re.search(r"<style|<script>| style=| on\w+=|//(?!127)", page.html)

    run(main())


@pytest.mark.parametrize(
    ("key_id", "secret"),
    [("sk_id_test", "wrong"), ("sk_id_nobody", SECRET), ("", ""), ("sk_id_test", ""), (KEY, SECRET)],
)
def test_all_bad_credentials_get_one_answer(key_id: str, secret: str) -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            refused = await browser.sign_in(key_id, secret)
            other = await browser.sign_in("sk_id_other", "other")
            assert refused.status == 401
            assert "That is no secret pair of this hub." in refused.text
            assert refused.raw == other.raw
            assert browser.cookies == {}

    run(main())


def test_guessing_is_slow() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            for _ in range(10):
                assert (await browser.sign_in(secret="guess")).status == 401
            page = await browser.sign_in()
            assert page.status == 429
            assert 0 < int(page.header("retry-after")) <= 60
            assert "Too many attempts" in page.text

    run(main())


def test_forms_of_other_sites_do_nothing() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            await browser.sign_in()
            client = peer_of(server.port)
            await client.until(lambda: client.heard("welcome"))
            token = (await browser.get("/dashboard/connections")).form_token
            evil = (
                Browser(server.port, Origin="https://evil.example"),
                Browser(server.port, Origin="null"),
                Browser(server.port, Sec_Fetch_Site="cross-site"),
                Browser(server.port, Sec_Fetch_Site="same-site"),
            )
            for other in evil:
                other.cookies = browser.cookies
                page = await other.post("/dashboard/kick", peer="peer-1", form_token=token)
                assert page.header("location") == "/"
            for wrong in ({}, {"form_token": "x"}, {"form_token": "ü"}):
                await browser.post("/dashboard/kick", peer="peer-1", **wrong)
            await browser.post("/dashboard/kick", kind="text/plain", peer="peer-1", form_token=token)
            await browser.post("/dashboard/kick", peer="peer-1", form_token=token, more="x" * 9000)
            assert "That form did not come from this page." in (await browser.get("/")).text
            assert server.shell.hub.connections() == 1
            page = await evil[0].sign_in()
            assert page.status == 403

    run(main())


def test_a_peer_is_disconnected_and_the_log_says_by_whom(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            await browser.sign_in()
            client = peer_of(server.port)
            await client.until(lambda: client.heard("welcome"))
            page = await browser.get("/dashboard/connections")
            page = await browser.post("/dashboard/kick", peer="peer-1", form_token=page.form_token)
            assert (page.status, page.header("location")) == (303, "/dashboard/connections")
            await client.until(lambda: client.closed)
            assert client.closed is not None
            assert client.closed[0] == 4020
            assert "Disconnected peer-1: 1 connection closed." in (await browser.get("/")).text
            assert "Disconnected" not in (await browser.get("/")).text

    with caplog.at_level(logging.INFO, "agentbus.hub.audit"):
        run(main())
    assert "call=dashboard_kick app=test key=sk_id_test target=peer-1 status=200" in caplog.text
    assert SECRET not in caplog.text


def test_an_app_sees_nothing_of_another() -> None:
    async def main() -> None:
        config = hub_of(app("one"), app("two", "pk_live_two"))
        async with running_hub(config=config) as server:
            browser = Browser(server.port)
            await browser.sign_in("sk_id_two")
            client = await in_channel(server.port, "rooms/secret")
            client.say("publish", channel="rooms/a", requestId="p")
            await client.until(lambda: client.heard("error"))
            for path in (
                "/",
                "/dashboard/connections",
                "/dashboard/channels",
                "/dashboard/channel?name=rooms/secret",
            ):
                page = await browser.get(path)
                assert not re.search(r"peer-1|missing_data|value=\"rooms/secret", page.html)
            assert "Nobody is in this channel" in page.text
            token = (await browser.get("/")).form_token
            await browser.post("/dashboard/kick", peer="peer-1", form_token=token)
            assert server.shell.hub.connections() == 1

    run(main())


def test_a_key_sees_no_more_than_it_may() -> None:
    narrow = pair("narrow", channel_patterns=("rooms/*",))
    blind = pair("blind", actions=frozenset({"publish"}))
    config = hub_of(app(secret_keys=(pair("test"), narrow, blind)))

    async def main() -> None:
        async with running_hub(config=config) as server:
            await in_channel(server.port, "rooms/a")
            await in_channel(server.port, "vault/b")
            browser = Browser(server.port)
            await browser.sign_in("sk_id_narrow")
            connections = (await browser.get("/dashboard/connections")).text
            assert "peer-1" in connections
            assert "peer-2" not in connections
            channels = (await browser.get("/dashboard/channels")).text
            assert "rooms/a" in channels
            assert "vault/b" not in channels
            assert "Nobody is in" in (await browser.get("/dashboard/channel?name=vault/b")).text
            await browser.sign_in("sk_id_blind")
            for path in ("/dashboard/connections", "/dashboard/channels", "/dashboard/channel?name=rooms/a"):
                text = (await browser.get(path)).text
                assert "It lacks the presence action" in text
                assert "peer-1" not in text

    run(main())


def test_what_people_call_themselves_is_no_markup() -> None:
    name = "<b>&\"'/x?y=1"

    async def main() -> None:
        async with running_hub() as server:
            token = mint(
                "sk_id_test",
                SECRET,
                subject=name,
                issued_at=int(server.shell.now().wall),
                peer_metadata={"name": "<img src=x>"},
            )
            await in_channel(server.port, "rooms/<i>", f"token={token}")
            browser = Browser(server.port)
            await browser.sign_in()
            for path in (
                "/dashboard/connections",
                "/dashboard/channels",
                "/dashboard/channel?name=rooms/%3Ci%3E",
            ):
                page = await browser.get(path)
                assert not re.search(r"<b>|<i>|<img", page.html)
                assert name in page.text
            page = await browser.post(
                "/dashboard/kick", peer=name, name="rooms/<i>", form_token=page.form_token
            )
            assert page.header("location") == "/dashboard/channel?name=rooms%2F%3Ci%3E"
            await until(lambda: server.shell.hub.connections() == 0)

    run(main())


def test_rows_are_found_by_name_and_come_in_pages() -> None:
    async def main() -> None:
        async with running_hub() as server:
            clients = [await in_channel(server.port, f"rooms/{number}") for number in range(53)]
            browser = Browser(server.port)
            await browser.sign_in()
            first = (await browser.get("/dashboard/connections")).text
            assert "peer-53 " in first
            assert "peer-2 " not in first
            assert "peer-2 " in (await browser.get("/dashboard/connections?page=1")).text
            assert "No connection like that" in (await browser.get("/dashboard/connections?page=2")).text
            found = (await browser.get("/dashboard/connections?q=PEER-17")).text
            assert "peer-17 " in found
            assert "peer-1 " not in found
            assert "rooms/52" in (await browser.get("/dashboard/channels?page=0&q=52")).text
            assert "No channel like that" in (await browser.get("/dashboard/channels?q=nowhere")).text
            assert "Page 1" in (await browser.get("/dashboard/channels?page=-1e9")).text
            assert len(clients) == 53

    run(main())


def test_an_open_page_hears_of_what_changes() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            await browser.sign_in()
            async with browser.live("view=connections") as stream:
                assert "Nobody is connected" in await stream.event()
                await in_channel(server.port, "rooms/a")
                while "peer-1" not in await stream.event():
                    pass
                page = await browser.get("/")
                await browser.post("/dashboard/logout", form_token=page.form_token)
                event = await stream.event()
                while event != "over":
                    event = await stream.event()
                assert await stream.rest() is not None
            assert (await browser.get("/")).status == 303

    run(main())


def test_streams_end_with_the_hub_and_are_bounded() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            await browser.sign_in()
            streams = [browser.live("view=overview") for _ in range(9)]
            opened = [await stream.__aenter__() for stream in streams]
            assert [stream.status for stream in opened] == [200] * 8 + [204]
            await opened[0].event()
            async with asyncio.timeout(5):
                await server.stop(0.5)
                await opened[0].rest()
            for stream in streams:
                await stream.__aexit__(None, None, None)

    run(main())


def test_a_session_ends_with_its_key() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            await browser.sign_in()
            widened = app(secret_keys=(pair("test", channel_patterns=("rooms/*",)),))
            server.reconfigure(HubConfig(apps=(widened,), limits=UNRATED))
            assert (await browser.get("/")).status == 200
            stolen = SecretKey(id="sk_id_test", secret=SECRET[::-1])
            server.reconfigure(HubConfig(apps=(app(secret_keys=(stolen,)),), limits=UNRATED))
            assert (await browser.get("/")).status == 303

    run(main())


def test_signing_in_again_ends_the_session_before() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser, other = Browser(server.port), Browser(server.port)
            await browser.sign_in()
            other.cookies = dict(browser.cookies)
            await browser.sign_in()
            assert browser.cookies != other.cookies
            assert (await other.get("/")).status == 303
            assert (await browser.get("/")).status == 200

    run(main())


def test_static_files_are_kept_by_version_and_nothing_else_is_served() -> None:
    async def main() -> None:
        async with running_hub() as server:
            browser = Browser(server.port)
            page = await browser.get("/dashboard/login")
            (style,) = re.findall(r'href="(/dashboard/static/app.css\?v=\w+)"', page.html)
            assert "immutable" in (await browser.get(style)).header("cache-control")
            assert (await browser.get("/dashboard/static/app.js")).header("cache-control") == "no-cache"
            for path in ("page.html", "..%2frender.py", "../routes.py"):
                assert (await browser.get(f"/dashboard/static/{path}")).status == 404

    run(main())


def test_a_hub_can_do_without() -> None:
    async def main() -> None:
        async with running_hub(replace(Listen(port=0), dashboard=False)) as server:
            for path in ("/", "/dashboard/login"):
                assert (await Browser(server.port).get(path)).status == 404

    run(main())


def test_a_suspended_app_is_told_so() -> None:
    async def main() -> None:
        async with running_hub(config=hub_of(app(suspended=True))) as server:
            browser = Browser(server.port)
            await browser.sign_in()
            page = await browser.get("/")
            assert "This app is suspended" in page.text
            await browser.post("/dashboard/kick", peer="x", form_token=page.form_token)
            assert "Not done: the app is suspended" in (await browser.get("/")).text

    run(main())


def test_an_app_without_anybody_is_told_how_to_begin() -> None:
    quiet = app("quiet", publishable_keys=())
    public = app("public", publishable_keys=(PublishableKey(key="pk_live_p", channel_patterns=("**",)),))

    async def main() -> None:
        async with running_hub(config=hub_of(quiet, public)) as server:
            browser = Browser(server.port)
            await browser.sign_in("sk_id_quiet")
            assert "agentbus token alice" in (await browser.get("/")).text
            await browser.sign_in("sk_id_public")
            hint = f"agentbus sub rooms/lobby --url ws://127.0.0.1:{server.port} --key pk_live_p"
            for path in ("/", "/dashboard/channels"):
                assert hint in (await browser.get(path)).text

    run(main())
