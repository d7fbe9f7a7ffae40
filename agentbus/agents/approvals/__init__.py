"""Approval by people: an agent asks, a person decides, and a restart of anything in between loses neither."""
