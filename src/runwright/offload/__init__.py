"""Computation on input of tenants, in a separate process.

A computation that a tenant can make costly (a template with loops) must not block the event loop; in a
thread it would, because of the interpreter's lock. `functions` has the functions that may be called,
`process` is the program that runs them, `client` starts it on demand and serves tenants in turn.
"""
