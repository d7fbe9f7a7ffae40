"""Queues in simulated worlds: a disk, hosts, workers and producers, and the promise that they are held to."""
