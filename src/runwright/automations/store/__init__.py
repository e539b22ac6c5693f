"""The SQL of automations, one function per verb."""
