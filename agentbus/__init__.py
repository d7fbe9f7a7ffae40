"""agentbus: the message bus that AI agents run on."""
