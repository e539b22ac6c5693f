# mypy: disable-error-code="import-not-found,import-untyped"
"""The Celery application: its worker imports `app`; run as a module it is the producer."""

import os

from celery import Celery

from tests.bench.peers.producer import produce


def do_nothing() -> None:
    """Be the handler."""


_socket = os.environ["BENCH_REDIS_SOCKET"]
app = Celery("bench")
app.conf.update(
    broker_url=f"redis+socket://{_socket}?virtual_host=0",
    result_backend=f"redis+socket://{_socket}?virtual_host=1",
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=64,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_pool_limit=10,
    worker_hijack_root_logger=False,
)
noop = app.task(name="noop")(do_nothing)

if __name__ == "__main__":
    produce(noop.delay, threads=int(os.environ["BENCH_THREADS"]))
