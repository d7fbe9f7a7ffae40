"""What a job has recorded of the effects of its attempts."""

from __future__ import annotations

from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.job import Effect
from agentbus.agents.queues.core.record import Job
from agentbus.errors import QueueFullError


def add_effect(book: Book, job: Job, effect: Effect) -> None:
    """Keep an effect beside its job, in the place of what was known of it.

    Raises:
        QueueFullError: the job has too many, or too large ones; nothing has changed.
    """
    options, details = book.options, job.more()
    effects = {each.name: each for each in details.effects}
    # a copy: the value would keep the whole message alive that it came in
    effects[effect.name] = Effect(effect.name, effect.done, effect.value.copy())
    if len(effects) > options.max_effects:
        raise QueueFullError(book.name, "effects of one job", options.max_effects)
    if sum(map(_size, effects.values())) > options.max_effect_bytes:
        raise QueueFullError(book.name, "bytes of one job's effects", options.max_effect_bytes)
    details.effects = tuple(effects.values())
    book.touch(job)


def _size(effect: Effect) -> int:
    return len(effect.name.encode()) + len(memoryview(effect.value))
