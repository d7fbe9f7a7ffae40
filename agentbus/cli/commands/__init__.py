"""One file per command of the `agentbus` command line."""
