"""agentbus.testing."""
