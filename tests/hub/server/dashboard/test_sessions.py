from __future__ import annotations

import itertools

from agentbus.hub.core import AppConfig, HubConfig, SecretKey
from agentbus.hub.core.keyring import Caller
from agentbus.hub.server.dashboard.sessions import IDLE_TIMEOUT, LIFETIME, MOST_PER_APP, Sessions
from tests.hub.server.door import SECRET, app

ONE, TWO = app("one"), app("two", "pk_live_two")
CONFIG = HubConfig(apps=(ONE, TWO))


def sessions() -> Sessions:
    return Sessions(map(str, itertools.count()).__next__)


def caller(of: AppConfig = ONE) -> Caller:
    return Caller.of(of, of.secret_keys[0])


def test_a_session_is_found_by_its_id_and_no_other() -> None:
    known = sessions()
    visit = known.begin(caller(), CONFIG, 0.0)
    assert known.find(visit.id, CONFIG, 1.0) is visit
    assert known.find(visit.form_token, CONFIG, 1.0) is None
    assert known.find("", CONFIG, 1.0) is None


def test_who_does_nothing_is_signed_out() -> None:
    known = sessions()
    visit = known.begin(caller(), CONFIG, 0.0)
    assert known.find(visit.id, CONFIG, IDLE_TIMEOUT - 1) is visit
    assert known.find(visit.id, CONFIG, 2 * IDLE_TIMEOUT - 2) is visit
    assert known.find(visit.id, CONFIG, 3 * IDLE_TIMEOUT) is None
    assert len(known) == 0


def test_nobody_is_signed_in_for_longer_than_a_working_day() -> None:
    known = sessions()
    visit = known.begin(caller(), CONFIG, 0.0)
    now = 0.0
    while now + 1000 < LIFETIME:
        now += 1000
        assert known.find(visit.id, CONFIG, now) is visit
    assert known.find(visit.id, CONFIG, LIFETIME) is None


def test_an_app_has_so_many_sessions_and_takes_none_from_another() -> None:
    known = sessions()
    other = known.begin(caller(TWO), CONFIG, 0.0)
    first, *rest = [known.begin(caller(), CONFIG, float(at)) for at in range(1, MOST_PER_APP + 1)]
    known.find(first.id, CONFIG, 50.0)
    known.begin(caller(), CONFIG, 51.0)
    assert len(known) == MOST_PER_APP + 1
    assert known.find(rest[0].id, CONFIG, 52.0) is None
    assert known.find(first.id, CONFIG, 52.0) is first
    assert known.find(other.id, CONFIG, 52.0) is other


def test_a_session_follows_its_key() -> None:
    known = sessions()
    visit = known.begin(caller(), CONFIG, 0.0)
    narrower = SecretKey(id="sk_id_one", secret=SECRET, channel_patterns=("a",))
    assert known.find(visit.id, HubConfig(apps=(app("one", secret_keys=(narrower,)),)), 1.0) is visit
    assert visit.caller.key.channel_patterns == ("a",)
    assert known.find(visit.id, HubConfig(apps=(TWO,)), 2.0) is None


def test_a_session_shows_no_secret_in_logs() -> None:
    assert SECRET not in repr(sessions().begin(caller(), CONFIG, 0.0))
