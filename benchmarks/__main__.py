"""`python -m benchmarks [SUITE …] [--runs N]`: measure side by side and write `benchmarks/RESULTS.md`."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
from pathlib import Path

SUITES = ("fanout", "request_reply", "acked_publish", "client_cost", "actors", "agents", "streams", "memory")
RESULTS = Path(__file__).parent / "RESULTS.md"

PREAMBLE = """\
# Results

Medians of {runs} interleaved runs, with (minimum–maximum), and the ratio to the table's first row. Servers have core 0, the load
core 1; CPU is what the operating system accounts. Machines are noisy: a ratio from one run says something, a time alone does not.

Python {python}, {cores} cores, {machine}; suites: {suites}; took {minutes:.1f} min. Made by `make bench`.

"""


def main() -> int:
    """Run the named suites, print their tables as they come, write the file when all are done."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"any of {', '.join(SUITES)} (all)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each measurement (3)")
    parser.add_argument("--no-write", action="store_true", help="print only")
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
        RESULTS.write_text(
            _preamble(suites, arguments.runs, time.perf_counter() - start) + "\n".join(sections)
        )
        print(f"wrote benchmarks/{RESULTS.name}", file=sys.stderr)
    return 0


def _preamble(suites: list[str], runs: int, seconds: float) -> str:
    return PREAMBLE.format(
        runs=runs,
        python=platform.python_version(),
        cores=os.cpu_count(),
        machine=f"{platform.system()} {platform.machine()}",
        suites=", ".join(suites),
        minutes=seconds / 60,
    )


if __name__ == "__main__":
    raise SystemExit(main())
