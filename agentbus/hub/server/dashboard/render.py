"""Templates and static files: read once, from the package."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final

import jinja2
from markupsafe import Markup

from agentbus.protocol import PresencePeer

_HERE: Final = files("agentbus.hub.server.dashboard")

MEDIA_TYPES: Final = {
    "app.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

TEMPLATES: Final = ("page", "parts", "login", "overview", "connections", "channels", "channel")

LONGEST_METADATA: Final = 120
"""Characters of a peer's metadata that a row shows."""


class Renderer:
    """Makes pages.

    Attributes:
        static: the static files by name.
        version: changes whenever one of them does, so that browsers may keep them.
    """

    def __init__(self) -> None:
        self.static = {name: (_HERE / "static" / name).read_bytes() for name in MEDIA_TYPES}
        self.version = hashlib.sha256(b"".join(self.static.values())).hexdigest()[:16]
        self._templates = jinja2.Environment(
            loader=jinja2.FunctionLoader(_source),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update(
            count=count, decimal=decimal, duration=duration, instant=instant, metadata=metadata
        )
        for name in TEMPLATES:
            self._templates.get_template(f"{name}.html")  # compiled now, not under somebody's request

    def fragment(self, name: str, context: dict[str, Any]) -> str:
        """Render what is inside a page, which live updates replace."""
        return self._templates.get_template(f"{name}.html").render(context)

    def page(self, name: str, context: dict[str, Any]) -> str:
        """Render a whole page."""
        inside = Markup(self.fragment(name, context))  # noqa: S704 -- escaped already, by its own template
        around = context | {"inside": inside, "version": self.version}
        return self._templates.get_template("page.html").render(around)


def _source(name: str) -> str:
    return (_HERE / "templates" / name).read_text(encoding="utf-8")


# -- how values read ---------------------------------------------------------------------------------------


def count(number: float) -> str:
    """Write a whole number with thin spaces between thousands."""
    return f"{round(number):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def decimal(number: float) -> str:
    """Write a rate: with one digit behind the point where that says something."""
    return count(number) if number >= 100 or number == round(number) else f"{number:.1f}"


def duration(seconds: float) -> str:
    """Write how long something took, to two units."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}\N{NO-BREAK SPACE}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 60:
        return f"{minutes}\N{NO-BREAK SPACE}min"
    if hours < 24:
        return f"{hours}\N{NO-BREAK SPACE}h {minutes % 60}\N{NO-BREAK SPACE}min"
    return f"{days}\N{NO-BREAK SPACE}d {hours % 24}\N{NO-BREAK SPACE}h"


def instant(wall: float) -> Markup:
    """Write a time: in UTC, until the page's script says it in the reader's zone."""
    moment = datetime.fromtimestamp(wall, UTC).replace(microsecond=0)
    machine, human = moment.isoformat().replace("+00:00", "Z"), moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(machine, human)


def metadata(peer: PresencePeer) -> str:
    """Write what a peer tells about itself, shortened."""
    text = "" if peer.metadata is None else bytes(peer.metadata).decode(errors="replace")
    return text if len(text) <= LONGEST_METADATA else f"{text[: LONGEST_METADATA - 1]}…"
