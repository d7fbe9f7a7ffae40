"""Which folder the demo reads when nobody names one."""

from __future__ import annotations

from pathlib import Path

import agentbus
from agentbus.cli.demo.sources import FORMATS

DOCUMENTS = frozenset(FORMATS.values()) - {"python"}
EVERYTHING = frozenset(FORMATS.values())


def default_folder() -> tuple[Path, frozenset[str]]:
    """The repository's documents if this is a checkout, else the docstrings of the installed package.

    Returns:
        The folder, and the formats that are read in it.
    """
    package = Path(agentbus.__file__).parent
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "docs").is_dir():
        return checkout, DOCUMENTS
    return package, EVERYTHING
