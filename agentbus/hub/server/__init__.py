"""agentbus.hub.server."""
