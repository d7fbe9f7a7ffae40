"""`Budget`: what a message may cost, at most."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Final

Money = Decimal | str | int
MONEY_DIGITS: Final = 12
"""Decimals of an amount of money: it is counted in whole millionths of millionths, so sums are exact."""
MAX_TOKENS: Final = 2**53
"""What every JSON reader can tell apart."""
MAX_UNITS: Final = 10 ** (15 + MONEY_DIGITS)
_EXACT: Final = Context(prec=60, traps=[InvalidOperation])


@dataclass(frozen=True, slots=True, init=False)
class Budget:
    """What may be used up for a message, with all that it causes. What is not named has no limit.

    Attributes:
        wall: seconds, from the moment in which it is sent.
        tokens: of language models.
        money: exact; of whatever currency the program counts in.
        hops: messages in a row that may lead to one another, the first included.
    """

    wall: float | None
    tokens: int | None
    money: Decimal | None
    hops: int | None

    def __init__(
        self,
        *,
        wall: float | None = None,
        tokens: int | None = None,
        money: Money | None = None,
        hops: int | None = None,
    ) -> None:
        """Make a budget.

        Args:
            wall: see `Budget`, as for the others.
            tokens: a whole number.
            money: a decimal number, or its text; a float is refused, as it is not exact.
            hops: a whole number.

        Raises:
            ValueError: an amount is negative, there are more than 2^53 tokens, or money has more than 15
                digits before the point or more than 12 behind it.
            TypeError: money is a float, tokens or hops are no whole number, or wall is no number.
        """
        _check_kinds(wall, tokens, hops)
        for name, amount in (("wall", wall), ("tokens", tokens), ("hops", hops)):
            if amount is not None and not amount >= 0:
                raise ValueError(f"a budget's {name} is at least 0, not {amount}")
        if tokens is not None and tokens > MAX_TOKENS:
            raise ValueError(f"a budget has at most {MAX_TOKENS} tokens, not {tokens}")
        object.__setattr__(self, "wall", wall)
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "money", None if money is None else from_units(to_units(money)))
        object.__setattr__(self, "hops", hops)


def _check_kinds(wall: object, tokens: object, hops: object) -> None:
    if wall is not None and not isinstance(wall, int | float):
        raise TypeError(f"a budget's wall is a number of seconds, not {wall!r}")
    for name, amount in (("tokens", tokens), ("hops", hops)):
        if amount is not None and not isinstance(amount, int):
            raise TypeError(f"a budget's {name} are a whole number, not {amount!r}")


def to_units(money: Money) -> int:
    """Give an amount of money in whole units of its smallest decimal.

    Raises:
        ValueError: it is negative, no number, too large, or finer than that.
        TypeError: it is a float.
    """
    if isinstance(money, float):
        raise TypeError(f'money is exact: say "{money}" or Decimal("{money}") instead of a float')
    try:
        amount = Decimal(money)
        known = amount.is_finite() and 0 <= amount <= MAX_UNITS  # a few characters can say 10^999999
        units = int(amount.scaleb(MONEY_DIGITS, _EXACT)) if known else -1
    except InvalidOperation:
        units = -1
    if not 0 <= units <= MAX_UNITS or from_units(units) != Decimal(money):
        raise ValueError(f"not an amount of money: {money}")
    return units


def from_units(units: int) -> Decimal:
    """Give so many units as an amount of money, with no more decimals than it needs."""
    amount = Decimal(units).scaleb(-MONEY_DIGITS, _EXACT).normalize(_EXACT)
    return amount.quantize(Decimal(1), context=_EXACT) if amount == amount.to_integral_value() else amount
