"""What stays until a collection of garbage, which holds up all threads for as long as there is much of it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collections() -> Iterator[None]:
    """Collect once, and not again in the block."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def instances(kind: type) -> int:
    """Return how many objects there are of a type."""
    return sum(type(one) is kind for one in gc.get_objects())
