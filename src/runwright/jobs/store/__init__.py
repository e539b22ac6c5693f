"""The SQL of jobs: one function per verb, each one transaction, each guarded by the state it expects."""
