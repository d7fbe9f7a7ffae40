"""agentbus.cli."""
