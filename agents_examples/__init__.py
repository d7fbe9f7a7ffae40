"""Small programs that show what agentbus is for. Run one with `python -m agents_examples.hello`."""
