"""The AGH API: automations, their runs and tasks."""
