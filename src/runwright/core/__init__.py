"""Values and rules without I/O: ids, errors, the clock, roles, the job state machine, retries."""
