"""agentbus.hub."""
