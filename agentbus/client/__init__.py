"""agentbus.client."""
