"""Jobs: executions of workers."""
