"""agentbus.runtime."""
