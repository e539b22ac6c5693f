"""The SQL of agents and executions."""
