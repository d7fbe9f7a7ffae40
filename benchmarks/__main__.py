"""`python -m benchmarks [SUITE …] [--runs N]`: measure side by side and write `benchmarks/RESULTS.md`."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import sys
import time
from pathlib import Path

SUITES = (
    "fanout",
    "request_reply",
    "acked_publish",
    "client_cost",
    "actors",
    "agents",
    "streams",
    "memory",
    "hub_load",
    "history",
    "nodes",
    "queues",
    "queue_scale",
    "cluster",
)
RESULTS = Path(__file__).parent / "RESULTS.md"

PREAMBLE = """\
# Results

Medians of {runs} interleaved runs, with (minimum–maximum), and the ratio to the table's first row. Servers have core 0, the load
core 1; CPU is what the operating system accounts. Machines are noisy: a ratio from one run says something, a time alone does not.

{facts}. Made by `make bench`.

"""


def main() -> int:
    """Run the named suites, print their tables as they come, write the file when all are done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"any of {', '.join(SUITES)} (all)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each measurement (3)")
    parser.add_argument("--no-write", action="store_true", help="print only")
    parser.add_argument("--update", action="store_true", help="keep the file's other tables")
    arguments = parser.parse_args()
    if unknown := set(arguments.suites) - set(SUITES):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    suites = arguments.suites or list(SUITES)
    start, sections = time.perf_counter(), list[str]()
    for suite in suites:
        print(f"measuring {suite} ...", file=sys.stderr, flush=True)
        for table in importlib.import_module(f"benchmarks.{suite}").run(arguments.runs):
            sections.append(table.markdown())
            print(sections[-1], flush=True)
    if not arguments.no_write:
        facts = _facts(suites, time.perf_counter() - start)
        old = RESULTS.read_text() if arguments.update and RESULTS.exists() else ""
        anew = PREAMBLE.format(runs=arguments.runs, facts=facts) + "\n".join(sections)
        RESULTS.write_text(updated(old, sections, f"{arguments.runs} runs; {facts}") if old else anew)
        print(f"wrote benchmarks/{RESULTS.name}", file=sys.stderr)
    return 0


def updated(old: str, sections: list[str], facts: str) -> str:
    """Put tables in the place of those with the same title, new ones last, and say that they have a run of their own.

    Args:
        old: the file so far.
        sections: Markdown that begins with a title each.
        facts: of the new run.
    """
    head, *tables = re.split(r"^(?=## )", old, flags=re.MULTILINE)
    by_title = {table.splitlines()[0]: table.rstrip() + "\n" for table in [*tables, *sections]}
    return f"{head.rstrip()}\n\nIn a run of their own: {facts}.\n\n" + "\n".join(by_title.values())


def _facts(suites: list[str], seconds: float) -> str:
    """Where, what and how long."""
    machine = f"{platform.system()} {platform.machine()}"
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {machine}; suites: {', '.join(suites)}; "
        f"took {seconds / 60:.1f} min"
    )


if __name__ == "__main__":
    raise SystemExit(main())
