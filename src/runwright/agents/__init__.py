"""Agents: who reacts to events, what was handed to them, what they decided."""
