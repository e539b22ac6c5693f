"""Values and rules without I/O: ids, errors, clock, roles, the job state machine, retry."""
