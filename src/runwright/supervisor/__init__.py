"""Several server processes under one command: `runwright serve` with `processes` above 1.

The supervisor has no part in any request or job. It reserves the port, opens the database first and closes it
last, starts the children, and passes on what concerns all of them: the drain, readiness, and the sum of their
metrics. Each child runs some of the roles, as on a machine of its own; PostgreSQL is their only coordinator.

    child:  starting ──ready──▶ serving ──ends──▶ pausing ──▶ starting …
                │                  │
              ends: the start      └── drain ──▶ ended
              of the server fails

- A child that ends is started again at once, then after longer and longer pauses; three ends in a row are
  reported by `/readyz`, which answers 503 where no child of a kind is left.
- A supervisor that is killed takes its children with it (PR_SET_PDEATHSIG), like a single process.
- Signals of a terminal reach the supervisor only. Children drain when it asks them to, and at a signal of
  their own, after which that child is started again.
"""
