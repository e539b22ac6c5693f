"""Computation on what tenants wrote, in a process beside the event loop.

What a tenant can make costly (a template with loops) must not hold the event loop, and a thread would, by
the interpreter's lock. `functions` has what may be computed, `process` is the program that computes it,
`client` starts it when it is needed and gives tenants turns.
"""
