"""agentbus.wire."""
