"""Queues: jobs that outlive whoever put them, leased to workers one at a time, and acked once."""
