"""The escape test: known attempts to get out of a sandbox, made on this host in real sandboxes.

`programs/` holds the attempts, one function each; `catalogue` reads them, `baits` lays out what
they are after, `runner` makes them through the pool as jobs of hostile workers, and looks from
outside whether they got it.
"""
