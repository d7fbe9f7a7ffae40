"""A shop on a durable queue: effects, a flow and a schedule; an attempt fails, and nobody pays twice.

Run it: python -m agents_examples.queue_fleet
"""

from __future__ import annotations

import tempfile

from agentbus import (
    AsyncAgentActor,
    Bus,
    Message,
    QueueOptions,
    Request,
    Retry,
    chain,
    group,
    handles,
)

paid: list[str] = []
swept: list[int] = []


class Charge(Request[str]):
    """Gives the number of the receipt."""

    card: str
    euro: int


class Pack(Request[str]):
    """Gives what is in the parcel."""

    article: str


class Ship(Request[str]):
    """Gives the tracking number; its inputs are what the steps before it gave."""

    to: str


class Sweep(Message):
    """Clear the floor."""


class Clerk(AsyncAgentActor):
    """Does whatever the shop's queue holds."""

    @handles
    async def charge(self, order: Charge) -> str:
        """Charge a card once, although the first attempt fails right after it."""
        async with self.effect("charge-card") as effect:
            if effect.needed:
                paid.append(order.card)
                effect.done(f"receipt {len(paid)}")
        if self.job.attempt == 1:
            raise Retry("the till has jammed", in_=0.1)
        return effect.value

    @handles
    async def pack(self, order: Pack) -> str:
        """Put an article into a box."""
        return f"a {order.article}"

    @handles
    async def ship(self, order: Ship) -> str:
        """Send what the steps before have packed."""
        packed = " and ".join(self.job.inputs[0])
        return f"{packed} to {order.to}"

    @handles
    async def sweep(self, _: Sweep) -> None:
        """Clear the floor."""
        swept.append(self.job.attempt)


def main() -> None:
    """Take an order, send a parcel, and have the floor swept."""
    with tempfile.TemporaryDirectory() as folder, Bus() as bus:
        shop = bus.queue("shop", store=f"sqlite:///{folder}/shop.db", options=QueueOptions(retry_delay=0.1))
        bus.schedule(shop, Sweep(), name="sweep", every=0.5).get(timeout=10)
        bus.spawn(Clerk, queue="shop", concurrency=4)

        charge = shop.put(Charge(card="1234", euro=40), key="order-17", priority=5).get(timeout=10)
        print(f"{charge.result().get(timeout=20)}, after {charge.outcome().get(timeout=5).attempts} attempts")
        print(f"the card was charged {len(paid)} time(s)")

        parcel = chain(group(Pack(article="lamp"), Pack(article="kettle")), Ship(to="Bergen"))
        print(shop.put(parcel).get(timeout=10).result().get(timeout=20))

        for result in shop.results():
            if result.value is None and result.error is None:
                print("the floor is swept")
                break
        stats = shop.stats().get(timeout=10)
        print(f"{stats.dead} dead letters, {stats.leased} jobs under way")


if __name__ == "__main__":
    main()
