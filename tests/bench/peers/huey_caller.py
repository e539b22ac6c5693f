"""`python -m tests.bench.peers.huey_caller WARM CALLS`: prints the seconds of each call, made one at a time."""

import json
import sys
import time
from typing import Final

from tests.bench.peers.huey_app import noop

CALL_SECONDS: Final = 20


def call() -> float:
    """Return the seconds from a call to its result."""
    began = time.perf_counter()
    if noop().get(blocking=True, timeout=CALL_SECONDS) != 1:
        sys.exit("a call had another result")
    return time.perf_counter() - began


if __name__ == "__main__":
    warm, calls = map(int, sys.argv[1:])
    for _ in range(warm):
        call()
    sys.stdout.write(json.dumps([call() for _ in range(calls)]) + "\n")
