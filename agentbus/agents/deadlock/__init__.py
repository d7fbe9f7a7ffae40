"""Asks that can never be answered, because their answer waits for the asker: found at once, by name.

Every ask that a handler sends carries a chain: which agents wait for it, and in which ask each of them waits.
An ask that reaches an agent of its own chain closes a cycle if every wait of the cycle is *blocked*: the
agent's handler can do nothing else until the answer comes. Then, and only then, that ask fails.
"""
