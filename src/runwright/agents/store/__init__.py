"""The SQL of agents, their executions and what becomes of those."""
