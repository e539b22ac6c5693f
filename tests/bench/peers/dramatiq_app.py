# mypy: disable-error-code="import-not-found,no-untyped-call"
"""The Dramatiq application: its worker imports the actor; run as a module it is the producer."""

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from tests.bench.peers.producer import produce


def do_nothing() -> int:
    """Be the handler; it returns something, since Dramatiq warns about storing nothing."""
    return 1


_socket = os.environ["BENCH_REDIS_SOCKET"]
broker = RedisBroker(url=f"unix://{_socket}?db=0")
broker.add_middleware(Results(backend=RedisBackend(url=f"unix://{_socket}?db=1"), store_results=True))
dramatiq.set_broker(broker)
noop = dramatiq.actor(actor_name="noop", max_retries=0)(do_nothing)

if __name__ == "__main__":
    produce(noop.send, threads=int(os.environ["BENCH_THREADS"]))
