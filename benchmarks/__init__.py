"""Measure agentbus beside its peers: one command, one run, one table. See `python -m benchmarks --help`."""
