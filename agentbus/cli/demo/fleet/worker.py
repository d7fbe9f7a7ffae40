"""The worker: one file at a time, in a process of its own. It may be killed at any moment."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from agentbus.agents.agent import AgentActor
from agentbus.agents.handlers import handles
from agentbus.cli.demo.endpoint import Endpoint
from agentbus.cli.demo.extract import Extract, extract
from agentbus.cli.demo.fleet.messages import Digested, DigestFile, Job, Writing
from agentbus.cli.demo.rank import summarise

if TYPE_CHECKING:
    from agentbus.cli.demo.model import Writer


_SHOWN_EVERY = 60  # characters of prose: more often would be traffic and no news


class DocumentWorker(AgentActor):
    """Told: DigestFile. A file that can't be used is an answer; a worker's failure is the supervisor's."""

    @handles
    def digest(self, task: DigestFile) -> Digested:
        """Extract and rank one file; have its prose written if an endpoint is named."""
        try:
            document = extract(Path(task.job.root), task.source, task.job.limits)
        except ValueError as error:
            return Digested(None, str(error), os.getpid())
        summary = summarise(task.source.path, document)
        if task.job.endpoint is None:
            return Digested(summary, None, os.getpid())
        prose, problem = self._prose(task.job, task.job.endpoint, task.source.path, document)
        return Digested(structs.replace(summary, prose=prose), problem, os.getpid())

    def _prose(
        self, job: Job, endpoint: Endpoint, path: str, document: Extract
    ) -> tuple[str | None, str | None]:
        watcher = self.bus.ref(job.watcher) if job.watcher else None
        written, shown = "", 0

        def on_text(piece: str) -> None:
            nonlocal written, shown
            written += piece
            if watcher is not None and len(written) >= shown + _SHOWN_EVERY:
                shown = len(written)
                watcher.tell(Writing(path, written[-_SHOWN_EVERY:]))

        try:
            return _writer(endpoint).summarise(document, on_text), None
        except ConnectionError as error:
            return None, str(error)


@cache
def _writer(endpoint: Endpoint) -> Writer:
    from agentbus.cli.demo.model import Writer

    return Writer(endpoint)
