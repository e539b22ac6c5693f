"""The pool of warm sandboxes."""
