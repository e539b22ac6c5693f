"""Jobs: one execution of a worker each, with attempts, logs and exactly one end."""
