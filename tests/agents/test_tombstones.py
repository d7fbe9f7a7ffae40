from __future__ import annotations

from agentbus.agents.envelope import Stamp
from agentbus.agents.tombstones import MAX_OF_ONE_GUEST, MAX_TOMBSTONES, TOMBSTONE_SECONDS, Tombstones

NODE, GUEST = Stamp("node", "1"), Stamp("guest", "1")


def test_a_guest_makes_room_for_itself_among_its_own_alone() -> None:
    tombstones = Tombstones()
    tombstones.bury(NODE, "0", None, 0.0)
    tombstones.bury(Stamp("quiet", "1"), "0", "quiet", 0.0)
    for number in range(10 * MAX_TOMBSTONES):
        tombstones.bury(GUEST, str(number), "loud", 0.0)
    assert len(tombstones) == 2 + MAX_OF_ONE_GUEST
    assert tombstones.take(NODE, "0")
    assert tombstones.take(Stamp("quiet", "1"), "0")
    assert tombstones.take(GUEST, str(10 * MAX_TOMBSTONES - 1))
    assert not tombstones.take(GUEST, "0")


def test_any_number_of_guests_leaves_those_of_nodes() -> None:
    tombstones = Tombstones()
    for number in range(MAX_TOMBSTONES):
        tombstones.bury(NODE, str(number), None, 0.0)
    for number in range(3 * MAX_TOMBSTONES):
        tombstones.bury(GUEST, str(number), f"guest {number}", 0.0)
    assert len(tombstones) == 2 * MAX_TOMBSTONES
    assert all(tombstones.take(NODE, str(number)) for number in range(MAX_TOMBSTONES))


def test_they_do_not_stay() -> None:
    tombstones = Tombstones()
    for stamp, guest in ((NODE, None), (GUEST, "guest")):
        tombstones.bury(stamp, "1", guest, 0.0)
        tombstones.bury(stamp, "2", guest, 1.0)
        tombstones.bury(stamp, "1", guest, 2.0)
    tombstones.clear_old(TOMBSTONE_SECONDS + 1.5)
    assert len(tombstones) == 2
    assert not tombstones.take(NODE, "2")
    tombstones.forget(GUEST)
    assert not tombstones.take(GUEST, "1")
    assert tombstones.take(NODE, "1")
