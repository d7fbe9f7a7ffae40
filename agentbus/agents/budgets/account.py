"""`BudgetAccount`: a budget in use. Each budgeted message has one; those of its asks are parts of it.

    program ── Budget(tokens=100) ──► account of A: 100
                                       ├─ spends 10                       left 90
                                       ├─ asks B with Budget(tokens=30)   left 60: reserved before it leaves
                                       │      └─ B spends 20, answers     left 70: 10 come back
                                       └─ asks C, whose node dies         nothing comes back

A part is taken out of the account before the message leaves, and only an answer brings back what is left of
it. So at any moment: spent everywhere + left everywhere <= the budget, whatever dies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from agentbus.agents.budgets.budget import Budget, Money, from_units, to_units
from agentbus.agents.deadlines import too_late
from agentbus.errors import BudgetExhausted
from agentbus.runtime import Future
from agentbus.runtime.purse import Purse, Shortage

Amounts = dict[str, int | None]
N = TypeVar("N", int, float)


class BudgetAccount:
    """What is left of the budget of the message that is being handled. Safe from any thread.

    Args:
        amounts: whole tokens and units of money; None for no limit.
        hops: messages in a row that may still follow; None for no limit.
        wall_at: when its time is over, on the recipient's clock; None for never.
        parent: the account that it is a part of, and that gets back what is left.

    Attributes:
        hops: see above.
        wall_at: see above.
        away: the message went to another node: what was spent is known from the answer only.
    """

    __slots__ = (
        "_answer",
        "_now",
        "_parent",
        "_parts",
        "_purse",
        "_reserved",
        "_unsettled",
        "_written_off",
        "away",
        "hops",
        "wall_at",
    )

    def __init__(
        self,
        amounts: Mapping[str, int | None] | None = None,
        *,
        hops: int | None = None,
        wall_at: float | None = None,
        parent: BudgetAccount | None = None,
    ) -> None:
        self._reserved: Amounts = {"tokens": None, "money": None, **(amounts or {})}
        self._purse = Purse(self._reserved)
        self._parent = parent
        self._parts: dict[BudgetAccount, None] = {}
        self._answer: Future[Any] | None = None
        self._unsettled = [None]
        self._written_off: list[None] = []
        self._now: Callable[[], float] | None = None
        self.hops = hops
        self.wall_at = wall_at
        self.away = False

    def __repr__(self) -> str:
        left = self.left
        amounts = {"wall": left.wall, "tokens": left.tokens, "money": left.money, "hops": left.hops}
        limited = ", ".join(f"{name}={amount}" for name, amount in amounts.items() if amount is not None)
        return f"<BudgetAccount with {limited} left>" if limited else "<BudgetAccount without limits>"

    # -- for handlers ----------------------------------------------------------------------------------------

    @property
    def left(self) -> Budget:
        """What can be spent, or given to others, now; what has no limit is None."""
        left = self._purse.left()
        units = left["money"]
        wall = None if self.wall_at is None or self._now is None else max(0.0, self.wall_at - self._now())
        money = None if units is None else from_units(units)
        return Budget(wall=wall, tokens=left["tokens"], money=money, hops=self.hops)

    @property
    def spent(self) -> Budget:
        """What was spent here, and reserved for asks that are not answered yet."""
        taken = self._purse.taken()
        return Budget(tokens=taken["tokens"], money=from_units(taken["money"]))

    def spend(self, *, tokens: int = 0, money: Money = 0) -> None:
        """Take from the budget, before or after the work that costs it.

        Args:
            tokens: how many.
            money: how much.

        Raises:
            BudgetExhausted: there is not enough of one of them, or its time is over; nothing was taken.
            ValueError: an amount is negative.
        """
        if tokens < 0:
            raise ValueError(f"tokens are at least 0, not {tokens}")
        wanted = {"tokens": tokens, "money": to_units(money)}
        if self._now is not None:
            self._check_wall(self._now())
        self._take(wanted)

    def hold(self, *, tokens: int = 0, money: Money = 0) -> Hold:
        """Set aside what work will cost at most; its `settle` says what it did cost, and frees the rest.

        Args:
            tokens: how many.
            money: how much.

        Raises:
            BudgetExhausted: there is not enough of one of them, or its time is over; nothing was taken.
            ValueError: an amount is negative.
        """
        self.spend(tokens=tokens, money=money)
        return Hold(self._purse, {"tokens": tokens, "money": to_units(money)})

    def share(self, parts: int) -> Budget:
        """Give one of so many equal parts of what is left, rounded down; time and hops are not divided.

        Raises:
            ValueError: there is at least one part.
        """
        if parts < 1:
            raise ValueError(f"a budget is divided into at least one part, not {parts}")
        left = self.left
        tokens = None if left.tokens is None else left.tokens // parts
        money = None if left.money is None else from_units(to_units(left.money) // parts)
        return Budget(wall=left.wall, tokens=tokens, money=money, hops=left.hops)

    # -- for the bus: out ------------------------------------------------------------------------------------

    def open(self, part: Budget | None, now: float) -> BudgetAccount:
        """Take out what a message may cost, as an account of its own.

        Args:
            part: how much; None, or what is not named: all that is left.
            now: the time.

        Raises:
            BudgetExhausted: it is not there, or some of it would be nothing; nothing was taken.
        """
        part = part or Budget()
        hops = _least(part.hops, self.hops)
        if hops is not None and hops < 1:
            raise BudgetExhausted("hops", 1, hops)
        wall_at = _least(None if part.wall is None else now + part.wall, self.wall_at)
        child = BudgetAccount(hops=None if hops is None else hops - 1, wall_at=wall_at, parent=self)
        child._check_wall(now)
        units = None if part.money is None else to_units(part.money)
        wanted: Amounts = {"tokens": part.tokens, "money": units}
        _refuse_nothing(wanted)
        child._fill(self._take(wanted))
        self._parts[child] = None
        return child

    def _fill(self, amounts: Amounts) -> None:
        self._reserved = amounts
        self._purse = Purse(amounts)

    def until(self, answer: Future[Any]) -> None:
        """Get back what is left of a part once its ask is answered."""
        self._answer = answer
        answer.add_done_callback(self._answered)

    def _answered(self, answer: Future[Any]) -> None:
        """Settle with what was spent here; elsewhere an answer would have done so before."""
        self.settle(None if self.away or answer.cancelled() else self.close())

    def settle(self, spent: Mapping[str, int] | None) -> None:
        """Give back to the parent what is left; the first time counts.

        Args:
            spent: of what was reserved; None if nobody knows: then all of it was.
        """
        try:
            self._unsettled.pop()
        except IndexError:
            return
        if spent is None:
            self._written_off.append(None)
        if self._parent is not None:
            self._parent._take_back(self, spent)

    def never_left(self) -> None:
        """Give everything back, also what was written off: the message went nowhere, and never will."""
        nothing = {"tokens": 0, "money": 0}
        self.settle(nothing)
        if self._written_off and self._parent is not None:
            self._written_off.clear()
            self._parent._take_back(self, nothing)

    def _take_back(self, part: BudgetAccount, spent: Mapping[str, int] | None) -> None:
        self._parts.pop(part, None)
        if spent is not None:
            self._purse.give({name: _rest(part._reserved[name], amount) for name, amount in spent.items()})

    def _take(self, wanted: Mapping[str, int | None]) -> Amounts:
        taken = self._purse.take(wanted)
        if isinstance(taken, Shortage) and self._collect():
            taken = self._purse.take(wanted)
        if isinstance(taken, Shortage):
            raise _exhausted(taken)
        return taken

    def _collect(self) -> bool:
        """Settle asks that another thread answers at this moment; whether there were any."""
        found = [part for part in list(self._parts) if part._answer is not None and part._answer.done()]
        for part in found:
            if part._answer is not None:
                part._answered(part._answer)
        return bool(found)

    # -- for the bus: in -------------------------------------------------------------------------------------

    def begin(self, now: Callable[[], float]) -> None:
        """Check, before the work begins, that there is something to do it with.

        Args:
            now: the recipient's clock.

        Raises:
            BudgetExhausted: there is not.
        """
        self._now = now
        self._check_wall(now())
        if self.hops is not None and self.hops < 0:
            raise BudgetExhausted("hops", 1, 0)
        _refuse_nothing(self._purse.left())

    def _check_wall(self, now: float) -> None:
        if self.wall_at is not None and self.wall_at <= now:
            raise wall_exhausted()

    def late_error(self, deadline: float) -> Callable[[], Exception]:
        """Give what makes the error of an ask that is not answered in time; what it cost is not known then.

        Args:
            deadline: of the ask; it may be earlier than the end of the wall time.
        """
        make = wall_exhausted if self.wall_at == deadline else too_late

        def give_up() -> Exception:
            self.settle(None)
            return make()

        return give_up

    def close(self) -> dict[str, int]:
        """Let nothing be spent any more, as the answer is given; gives what was spent."""
        return self._purse.close()


class Hold:
    """What is set aside for work that has begun; never settled, it is all spent.

    Args:
        purse: where it was taken from.
        amounts: how much.
    """

    __slots__ = ("_amounts", "_open", "_purse")

    def __init__(self, purse: Purse, amounts: Mapping[str, int]) -> None:
        self._purse = purse
        self._amounts = amounts
        self._open = [None]

    def settle(self, *, tokens: int = 0, money: Money = 0) -> None:
        """Say what the work has cost; once. What is over the hold is taken if it is there."""
        try:
            self._open.pop()
        except IndexError:
            return
        for name, cost in (("tokens", tokens), ("money", to_units(money))):
            rest = self._amounts[name] - cost
            if rest >= 0:
                self._purse.give({name: rest})
            elif isinstance(self._purse.take({name: -rest}), Shortage):
                self._purse.take({name: None})


def wall_exhausted() -> BudgetExhausted:
    """Make the error for work whose time is over."""
    return BudgetExhausted("wall", 0.0, 0.0)


def _refuse_nothing(amounts: Mapping[str, int | None]) -> None:
    for what, amount in amounts.items():
        if amount == 0:
            raise _exhausted(Shortage(what, 1, 0))


def _exhausted(shortage: Shortage) -> BudgetExhausted:
    wanted: int | Decimal = shortage.wanted
    left: int | Decimal = shortage.left
    if shortage.what == "money":
        wanted, left = from_units(shortage.wanted), from_units(shortage.left)
    return BudgetExhausted(shortage.what, wanted, left)


def _least(one: N | None, other: N | None) -> N | None:
    return min((each for each in (one, other) if each is not None), default=None)


def _rest(reserved: int | None, spent: int) -> int:
    """Give what is left of a part; of what had no limit, what was spent is taken now."""
    return -spent if reserved is None else reserved - min(max(spent, 0), reserved)
