"""Agents and their callbacks."""
