"""agentbus.protocol."""
