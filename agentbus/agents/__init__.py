"""Agents: messages, addresses, links, membership, and the bus that joins them."""
