"""Another configuration under open connections: by example, and against a hub that is started with it."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from agentbus.hub.core import AppConfig, HubConfig, Limits, MemoryUsageStore, PublishableKey, SecretKey
from agentbus.hub.core.quotas import MOST_RETIRED
from tests.hub.core.world import KEY, Client, World, app

OPEN = PublishableKey(key=KEY, channel_patterns=("**",))
OTHER = PublishableKey(key="pk_live_other", channel_patterns=("**",))
PAIR = SecretKey(id="sk_id_all", secret="sk_secret_all")


def reconfigure(world: World, *apps: AppConfig, **limits: Any) -> None:
    config = HubConfig(apps=apps, limits=Limits(messages_per_second=0, **limits))
    world.execute(world.hub.reconfigure(config, world.now))


# -- who stays, who goes -----------------------------------------------------------------------------------


def test_a_key_that_is_added_lets_in_at_once() -> None:
    world = World()
    assert world.connect(key=OTHER.key).close_code == 4001
    reconfigure(world, app(publishable_keys=(OPEN, OTHER)))
    assert world.connect(key=OTHER.key).close_code is None


def test_a_revoked_keys_connections_close_with_4001_and_nobody_elses() -> None:
    world = World(app(publishable_keys=(OPEN, OTHER)))
    gone, stays = world.connect(key=OTHER.key), world.connect(key=KEY)
    reconfigure(world, app(publishable_keys=(OPEN,)))
    assert (gone.close_code, stays.close_code) == (4001, None)
    assert world.connect(key=OTHER.key).close_code == 4001


def test_a_token_ends_with_the_key_that_signed_it_or_with_that_keys_secret() -> None:
    for changed in ((), (SecretKey(id=PAIR.id, secret="another"),)):
        world = World()
        client = world.connect(token=world.token("alice"))
        reconfigure(world, app(secret_keys=changed))
        assert client.close_code == 4001


def test_a_suspended_app_is_closed_with_4012_and_can_come_back() -> None:
    world = World()
    client = world.connect(key=KEY)
    reconfigure(world, app(suspended=True))
    assert client.close_code == 4012
    assert world.connect(key=KEY).close_code == 4012
    reconfigure(world, app())
    assert world.connect(key=KEY).close_code is None


def test_a_removed_app_is_closed_with_4001() -> None:
    world = World(app(), app(id="two", publishable_keys=(OTHER,), secret_keys=()))
    gone, stays = world.connect(key=KEY), world.connect(key=OTHER.key)
    reconfigure(world, app(id="two", publishable_keys=(OTHER,), secret_keys=()))
    assert (gone.close_code, stays.close_code) == (4001, None)


def test_a_key_that_moves_to_another_app_takes_no_connection_along() -> None:
    world = World(app())
    client = world.connect(key=KEY)
    reconfigure(world, app(id="two"))
    assert client.close_code == 4001
    assert world.connect(key=KEY).session.app.id == "two"


def test_a_key_of_another_scope_has_its_clients_come_back_and_be_judged_anew() -> None:
    world = World()
    client = world.join("a")
    reconfigure(world, app(publishable_keys=(replace(OPEN, channel_patterns=("b",)),)))
    assert client.close_code == 1012
    again = world.connect(key=KEY)
    assert again.ask("subscribe", channel="a")["code"] == "channel_not_authorized"


def test_who_stays_keeps_subscriptions_and_sees_the_others_leave() -> None:
    world = World(app(publishable_keys=(OPEN, OTHER)))
    stays = world.join("a")
    gone = world.connect(key=OTHER.key)
    gone.subscribe("a")
    world.advance(1)
    stays.take()
    reconfigure(world, app(publishable_keys=(OPEN,)))
    world.advance(1)
    assert stays.take() == [
        {"type": "presence", "channel": "a", "joined": [], "left": [{"peerId": gone.peer_id}]}
    ]
    world.connect(key=KEY).ask("publish", channel="a", data=1)
    assert [frame["data"] for frame in stays.take()] == [1]


# -- limits ------------------------------------------------------------------------------------------------


def test_limits_that_the_welcome_told_hold_for_those_who_come() -> None:
    world = World()
    before = world.join("a")
    reconfigure(world, app(), max_message_size=1000)
    after = world.join("a")
    large = {"type": "publish", "channel": "a", "data": "x" * 5000}
    assert before.say(large) == []
    after.say(large)
    assert (before.close_code, after.close_code) == (None, 1009)


def test_all_other_limits_hold_for_everybody_at_once() -> None:
    world = World()
    client = world.join("a", "b")
    reconfigure(world, app(max_messages_per_period=1, max_connections=1), channels_per_connection=2)
    assert client.ask("subscribe", channel="c")["code"] == "channel_limit_exceeded"
    assert client.ask("publish", channel="a", data=1)["type"] == "ack"
    assert client.ask("publish", channel="a", data=1)["code"] == "over_message_quota"
    assert world.connect(key=KEY).close_code == 4010
    assert client.close_code is None


def test_a_connect_rate_that_changes_counts_anew() -> None:
    world = World(limits=Limits(messages_per_second=0, connects_per_minute_per_address=1))
    assert [world.hub.allow_connect("a", world.now) is None for _ in range(2)] == [True, False]
    reconfigure(world, app(), connects_per_minute_per_address=2)
    assert [world.hub.allow_connect("a", world.now) is None for _ in range(3)] == [True, True, False]


def test_the_counts_of_an_app_go_on_when_it_comes_back() -> None:
    for store in (None, MemoryUsageStore()):
        world = World(app(), usage_store=store)
        world.join("a").ask("publish", channel="a", data=1)
        reconfigure(world)
        reconfigure(world, app())
        assert world.hub.usage("demo", world.now).messages_used == 1


def test_of_removed_apps_a_bounded_number_is_remembered() -> None:
    world = World(app())
    world.join("a").ask("publish", channel="a", data=1)
    for number in range(MOST_RETIRED + 1):
        reconfigure(world, AppConfig(id=f"app-{number}"))
    reconfigure(world, app())
    assert world.hub.usage("demo", world.now).messages_used == 0


def test_what_a_hub_is_built_with_stays_as_it_was() -> None:
    world = World()
    other = HubConfig(apps=(app(),), presence_delay=0.0, extensions=())
    world.execute(world.hub.reconfigure(other, world.now))
    assert world.hub.config.presence_delay == 0.05
    assert world.connect(key=KEY).take()[0]["extensions"] == ["limits.v1", "dedupe.v1"]


def test_a_hub_that_shuts_down_takes_no_other_configuration() -> None:
    world = World()
    world.hub.shutdown(world.now, retry_after=1)
    before = world.hub.config
    reconfigure(world, app(suspended=True))
    assert world.hub.config is before


# -- random configurations, against a hub that is started with each ----------------------------------------

_SCOPES = st.sampled_from((("**",), ("a",)))


@st.composite
def _apps(draw: st.DrawFn) -> tuple[AppConfig, ...]:
    """Apps `one` and `two`, or one of them, or none; each with some of its keys, suspended or not."""
    apps: list[AppConfig] = []
    for name in draw(st.sets(st.sampled_from(("one", "two")))):
        keys = [
            PublishableKey(key=f"pk_{name}_{number}", channel_patterns=draw(_SCOPES))
            for number in draw(st.sets(st.integers(1, 2)))
        ]
        pairs = [
            SecretKey(
                id=f"sk_id_{name}", secret=draw(st.sampled_from(("x", "y"))), channel_patterns=draw(_SCOPES)
            )
            for _ in range(draw(st.integers(0, 1)))
        ]
        suspended = draw(st.integers(0, 3)) == 0
        apps.append(
            AppConfig(id=name, suspended=suspended, publishable_keys=tuple(keys), secret_keys=tuple(pairs))
        )
    return tuple(apps)


class Reconfigured(RuleBasedStateMachine):
    """Connections come while configurations change; who stays is who a new hub would let in alike."""

    @initialize(apps=_apps())
    def begin(self, apps: tuple[AppConfig, ...]) -> None:
        self.world = World(AppConfig(id="unused"))
        self.apps: tuple[AppConfig, ...] = ()
        self.open: list[Client] = []
        self.peers = itertools.count()
        self.change(apps)

    @rule(data=st.data())
    def connect(self, data: st.DataObject) -> None:
        keys = [key for each in self.apps for key in each.keys]
        if not keys:
            return
        key = data.draw(st.sampled_from(keys))
        client = self._connect(self.world, key)
        if client.close_code is None:
            client.subscribe("a")
            self.open.append(client)

    def _connect(self, world: World, key: PublishableKey | SecretKey) -> Client:
        if isinstance(key, PublishableKey):
            return world.connect(key=key.key)
        return world.connect(token=world.token(f"peer-{next(self.peers)}-", key_id=key.id))

    @rule(apps=_apps())
    def change(self, apps: tuple[AppConfig, ...]) -> None:
        before, self.apps = self.open, apps
        reconfigure(self.world, *apps)
        fresh = World(*apps) if apps else World(AppConfig(id="none"))
        for client in before:
            assert client.close_code == self._expected(fresh, client)
        self.open = [client for client in before if client.close_code is None]

    def _expected(self, fresh: World, client: Client) -> int | None:
        key = client.session.key
        assert key is not None
        now = [one for each in self.apps for one in each.keys if one.name == key.name]
        if isinstance(key, SecretKey) and now != [] and getattr(now[0], "secret", "") != key.secret:
            return 4001
        code = self._connect(fresh, key).close_code
        if code is not None:
            return code
        return None if now == [key] else 1012

    @rule()
    def speak(self) -> None:
        for client in self.open:
            client.take()
        for client in self.open:
            frame = {"type": "publish", "channel": "a", "data": client.peer_id}
            hub, now = self.world.hub, self.world.now
            self.world.execute(hub.receive(client.session, json.dumps(frame).encode(), now))
        for client in self.open:
            heard = sorted(frame["data"] for frame in client.take() if frame["type"] == "message")
            mine = client.session.app.id
            others = [one.peer_id for one in self.open if one.session.app.id == mine and one is not client]
            assert heard == sorted(others)

    @rule()
    def wait(self) -> None:
        self.world.advance(1)

    @invariant()
    def everybody_is_counted(self) -> None:
        assert self.world.hub.connections() == len(self.open)
        for each in self.apps:
            inside = sorted(one.peer_id for one in self.open if one.session.app.id == each.id)
            assert sorted(peer.peer_id for peer in self.world.hub.peers(each.id, "a")) == inside


def test_random_configurations_leave_who_a_new_hub_would_let_in() -> None:
    run_state_machine_as_test(
        Reconfigured,
        settings=settings(
            max_examples=100,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
