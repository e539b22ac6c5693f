"""Executions: polls, decisions, reviews."""
