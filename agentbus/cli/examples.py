"""How each command is used, for its `--help`; the test suite reads every line as the command would."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final[dict[str, tuple[str, ...]]] = {
    "": (
        "agentbus serve --dev                     # a hub, here",
        "agentbus sub rooms/a                     # listen, in a second terminal",
        "agentbus pub rooms/a '{\"x\": 1}'          # speak, in a third",
        "agentbus demo                            # what all of it can do together",
    ),
    "demo": (
        "agentbus demo",
        "agentbus demo ~/papers --workers 2 --no-chaos",
    ),
    "serve": (
        "agentbus serve --dev",
        "agentbus serve --config hub.toml --host 0.0.0.0 --data-dir /var/lib/hub",
    ),
    "pub": (
        "agentbus pub rooms/a '{\"x\": 1}'",
        "tail -f log.jsonl | agentbus pub logs -",
    ),
    "send": ("agentbus send worker-7 '\"hello\"'",),
    "sub": (
        "agentbus sub rooms/a rooms/b",
        "agentbus sub rooms/a --json --count 1",
    ),
    "peers": ("agentbus peers rooms/a",),
    "kick": ("agentbus kick 813a6d45-b474-43fe-821a-be02956ae303",),
    "usage": ("agentbus usage --json",),
    "worker": (
        "agentbus worker shop.agents:Greeter --name greeter",
        "agentbus worker shop.workers:Cashier --queue orders --processes 4",
    ),
    "token": (
        "agentbus token ada --config hub.toml --channel 'rooms/*'",
        "agentbus token worker-7 --config hub.toml --node --namespace prod",
    ),
    "keys": ("agentbus keys init",),
    "keys init": ("agentbus keys init /etc/agentbus/hub.toml",),
    "keys new": ("agentbus keys new --app shop >> hub.toml",),
    "doctor": (
        "agentbus doctor",
        "agentbus doctor wss://hub.example --key pk_live_example",
    ),
    "version": ("agentbus version --json",),
    "queue": (
        "agentbus queue ls",
        'agentbus queue put orders Charge \'{"card": "1234", "euro": 40}\'',
        "agentbus queue peek orders --state dead",
    ),
    "queue host": (
        "agentbus queue host orders --store sqlite:///orders.db --node orders-host",
        "agentbus queue host orders --store memory://",
    ),
    "queue ls": ("agentbus queue ls --namespace prod --json",),
    "queue stats": ("agentbus queue stats orders --watch",),
    "queue peek": (
        "agentbus queue peek orders",
        "agentbus queue peek orders --state dead --limit 5",
    ),
    "queue put": (
        'agentbus queue put orders Charge \'{"card": "1234", "euro": 40}\'',
        "cat charges.jsonl | agentbus queue put orders Charge - --priority 5",
    ),
    "queue retry": ("agentbus queue retry orders --state dead",),
    "queue drop": ("agentbus queue drop orders --state done",),
    "queue cancel": ("agentbus queue cancel orders 4f8e1c0f3f0b4d0f9f0a3f4c2c1f7b52",),
    "queue pause": ("agentbus queue pause orders",),
    "queue resume": ("agentbus queue resume orders",),
    "jobs": ("agentbus jobs tail orders",),
    "jobs tail": (
        "agentbus jobs tail",
        "agentbus jobs tail orders --json --count 10",
    ),
    "schedules": ("agentbus schedules ls orders",),
    "schedules ls": ("agentbus schedules ls orders",),
    "schedules drop": ("agentbus schedules drop orders nightly-report",),
}
"""By the words behind `agentbus`."""
