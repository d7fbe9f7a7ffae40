"""The second family of scenarios: nodes of a bus, the agents on them, and the letters between them."""
