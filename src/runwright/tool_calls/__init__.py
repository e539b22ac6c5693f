"""Tool calls: agents that use other workers as tools."""
