"""What the producers share: run N enqueue calls from a few threads and print the span."""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tests.bench.peers.peer import Span


def produce(enqueue: Callable[[], object], *, threads: int) -> None:
    """Call `enqueue` as often as the last argument says and print when that began and ended."""
    jobs = int(sys.argv[-1])
    shares = [jobs // threads + (number < jobs % threads) for number in range(threads)]
    began = time.monotonic()
    if threads == 1:
        _repeat(enqueue, jobs)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(_repeat, enqueue, share) for share in shares]:
                done.result()
    print_span(began)


def print_span(began: float) -> None:
    """Print the span that ends now."""
    sys.stdout.write(msgspec.json.encode(Span(began, time.monotonic())).decode() + "\n")
    sys.stdout.flush()


def _repeat(enqueue: Callable[[], object], times: int) -> None:
    for _ in range(times):
        enqueue()
