"""agentbus.hub.core."""
