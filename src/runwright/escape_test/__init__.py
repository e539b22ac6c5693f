"""The escape test: known attempts to escape from a sandbox, made on this host in real sandboxes.

`programs/` has the attempts, one function each; `catalogue` reads them, `canaries` sets up their targets
on the host, and `runner` makes them through the pool as jobs of hostile workers, and checks from outside
whether they succeeded.
"""
