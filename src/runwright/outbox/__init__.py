"""Endpoints that want events, what is on its way to them, and the one door to the outside."""
