"""`python -m agentbus.testing.simulation`: play many seeds, or one of them again.

Exit code 0: nothing was violated; 1: something was; 2: the arguments make no sense.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Iterable

from agentbus.runtime import SystemClock
from agentbus.testing.simulation.plan import Plan
from agentbus.testing.simulation.report import describe_failure
from agentbus.testing.simulation.run import Run, play
from agentbus.testing.simulation.scenarios import QUEUE_SCENARIOS, SCENARIOS, draw_plan, draw_queue_plan
from agentbus.testing.simulation.shrink import shrink

SHOWN_FAILURES = 3
PROGRESS_INTERVAL = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; gives the exit code."""
    options = _parser().parse_args(arguments)
    count = options.seeds if options.seeds is not None else (1 if options.seed is not None else 100)
    first = options.seed or 0
    progress = _Progress(count)
    failed = 0
    for run in _runs(range(first, first + count), options):
        if options.trace:
            _say("\n".join(run.trace))
        if options.digest:
            _say(f"{run.plan.seed} {run.digest}")
        if run.violations:
            failed += 1
            _report(run, failed, shrinking=options.shrink)
        progress.one_more(failed)
    progress.done(failed)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agentbus.testing.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, metavar="N", help="how many seeds to play (default: 100)")
    parser.add_argument("--seed", type=int, metavar="S", help="the first one; without --seeds, the only one")
    scenarios = [*SCENARIOS, *QUEUE_SCENARIOS]
    parser.add_argument("--scenario", choices=scenarios, help="what to draw (default: each in turn)")
    parser.add_argument("--queues", action="store_true", help="draw what has a queue")
    parser.add_argument("--trace", action="store_true", help="print every line of every trace")
    parser.add_argument("--digest", action="store_true", help="print each trace's hash")
    parser.add_argument("--shrink", action="store_true", help="make a failing plan smaller first")
    return parser


def _runs(seeds: Iterable[int], options: argparse.Namespace) -> Iterable[Run]:
    for seed in seeds:
        in_turn = options.queues and options.scenario is None
        yield play(draw_queue_plan(seed) if in_turn else draw_plan(seed, options.scenario))
        gc.collect()


def _report(run: Run, failed: int, *, shrinking: bool) -> None:
    if failed > SHOWN_FAILURES:
        _say(f"seed {run.plan.seed}, scenario {run.plan.scenario!r}: {run.violations[0]}")
        return
    if shrinking:
        run = play(shrink(run.plan, _fails_like(run)))
        _say("the smallest plan that fails like this:")
        _say("\n".join(f"  {line}" for line in run.plan.describe()))
    _say(describe_failure(run))


def _fails_like(run: Run) -> Callable[[Plan], bool]:
    violated = {violation.invariant for violation in run.violations}

    def fails(plan: Plan) -> bool:
        return any(violation.invariant in violated for violation in play(plan).violations)

    return fails


class _Progress:
    """A line on stderr that says how far we are."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._clock = SystemClock()
        self._began_at = self._told_at = self._clock.monotonic()
        self._played = 0

    def one_more(self, failed: int) -> None:
        """Count one; tell now and then."""
        self._played += 1
        now = self._clock.monotonic()
        if now - self._told_at >= PROGRESS_INTERVAL and sys.stderr.isatty():
            self._told_at = now
            sys.stderr.write(f"\r{self._line(failed)}")
            sys.stderr.flush()

    def done(self, failed: int) -> None:
        """Tell for the last time."""
        start = "\r" if sys.stderr.isatty() else ""
        sys.stderr.write(f"{start}{self._line(failed)}\n")

    def _line(self, failed: int) -> str:
        taken = self._clock.monotonic() - self._began_at
        return f"{self._played} of {self._count} seeds, {failed} failed, {taken:.1f} s"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    gc.freeze()  # the modules: collecting after each run then looks at the run only
    sys.exit(main())
