"""What programs may rely on with flows: each step in its turn, its inputs, and an end for all at once.

Issue: chains, groups and maps; what an ack causes is durable with it. The disk is the witness: after each
batch that it has, flows and their steps have to fit.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentbus.agents.queues.core.record import LIVE, Job
from agentbus.testing.simulation.evidence import Evidence
from agentbus.testing.simulation.queues.history import History
from agentbus.testing.simulation.queues.ledger import Story, by_id, steps_of, stories


def flows_take_their_course(evidence: Evidence) -> Iterator[str]:
    """At any moment a flow and its steps fit: turns, windows, and no step outlives its flow."""
    history = evidence.queue
    if history is None:
        return
    jobs: dict[int, Job] = {}
    steps: dict[int, list[int]] = {}
    for written in history.written:
        for number, job in written.jobs.items():
            if job.parent and number not in jobs:
                steps.setdefault(job.parent, []).append(number)
        jobs.update(written.jobs)
        touched = {number for job in written.jobs.values() for number in (job.number, job.parent)}
        for number in sorted(touched & steps.keys()):
            problem = _problem_of(jobs[number], [jobs[step] for step in sorted(steps[number])])
            if problem is not None:
                yield f"flow {jobs[number].id} at {written.at:.3f}: {problem}"


def _problem_of(flow: Job, steps: list[Job]) -> str | None:
    states = [step.state for step in steps]
    done = states.count("done")
    if flow.state in LIVE:
        begun = sum(map(_is_under_way, steps))
        if flow.flow == "chain" and states[:done] != ["done"] * done:
            return f"steps are done out of their turn: {states}"
        if flow.flow == "chain" and any(map(_is_under_way, steps[done + 1 :])):
            return f"a step has begun before its turn: {states}"
        if flow.flow == "map" and begun > flow.more().window:
            return f"{begun} steps are under way, and its window is {flow.more().window}"
        return None
    if any(state in LIVE for state in states):
        return f"it is {flow.state}, and its steps go on: {states}"
    if (flow.state == "done") != (done == len(steps)) and flow.state != "cancelled":
        return f"it is {flow.state}, and its steps are {states}"
    return None if flow.state in {"done", *states, "cancelled"} else f"no step is {flow.state}: {states}"


def _is_under_way(step: Job) -> bool:
    begun = step.details is not None and step.details.begun
    return step.state in {"queued", "leased"} or (step.state == "waiting" and begun)


def flows_hand_on_what_steps_gave(evidence: Evidence) -> Iterator[str]:
    """A step of a chain gets what the one before gave; a flow gives what its steps gave, in their order."""
    history = evidence.queue
    if history is None:
        return
    flows, known = steps_of(history), by_id(history)
    for number, steps in flows.items():
        flow = stories(history)[number]
        if flow.job.state == "done":
            values = [step.value for step in steps]
            expected = values[-1] if flow.job.flow == "chain" else values
            if flow.value != expected:
                yield f"{flow} gave {flow.value}, and its steps {values}"
    for attempt in history.attempts:
        story = known.get(attempt.job_id)
        if story is not None and attempt.inputs != (inputs := _inputs(history, flows, story)):
            yield f"{attempt} got {attempt.inputs}, and not {inputs}"


def _inputs(history: History, flows: dict[int, list[Story]], story: Story) -> list[object]:
    """Give what a step is to get: of a chain that of the one before; of others that of their flow."""
    if not story.job.parent:
        return []
    flow = stories(history)[story.job.parent]
    place = flows[flow.job.number].index(story)
    if flow.job.flow == "chain" and place:
        return [flows[flow.job.number][place - 1].value]
    return _inputs(history, flows, flow)
