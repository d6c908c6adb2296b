"""Measurements against other servers and against the machine's own limits."""
