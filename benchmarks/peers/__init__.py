"""Peers, each a program of its own."""
