"""agentbus.hub.backplane."""
