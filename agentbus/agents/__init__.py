"""agentbus.agents."""
