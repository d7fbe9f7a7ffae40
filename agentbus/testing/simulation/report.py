"""What a person needs to see of a run that failed."""

from __future__ import annotations

from agentbus.testing.simulation.run import Run

LAST_LINES = 40
MOST_VIOLATIONS = 12


def replay_command(run: Run) -> str:
    """Give the command that plays the run again."""
    plan = run.plan
    return f"python -m agentbus.testing.simulation --seed {plan.seed} --scenario {plan.scenario} --trace"


def describe_failure(run: Run, last_lines: int = LAST_LINES) -> str:
    """Say which seed failed, why, what happened last, and how to see it again."""
    head = f"seed {run.plan.seed}, scenario {run.plan.scenario!r}: {len(run.violations)} violation(s)"
    lines = [head, *(f"  {violation}" for violation in run.violations[:MOST_VIOLATIONS])]
    if len(run.violations) > MOST_VIOLATIONS:
        lines.append(f"  and {len(run.violations) - MOST_VIOLATIONS} more")
    lines += [f"the last {last_lines} of {len(run.trace)} lines of the trace:"]
    lines += [f"  {line}" for line in run.trace[-last_lines:]]
    return "\n".join([*lines, f"to play it again: {replay_command(run)}"])
