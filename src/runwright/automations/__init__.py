"""Prompts for agents, fired by the clock, an event or a signed webhook."""
