# mypy: disable-error-code="import-not-found"
"""The DBOS application: `worker`, `schema` or, with a number of jobs, the producer (a DBOSClient)."""

import os
import signal
import sys

from dbos import DBOS, DBOSClient, DBOSConfig

from tests.bench.peers.producer import produce

QUEUE = "bench"
VERSION = "bench"
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}


def do_nothing() -> int:
    """Be the handler."""
    return 1


def launch() -> None:
    """Start DBOS: makes the tables and the queue where they are missing, then polls."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": os.environ["BENCH_DSN"],
        "sys_db_pool_size": int(os.environ["BENCH_CONNECTIONS"]),
        "application_version": VERSION,
        "executor_id": str(os.getpid()),
        "log_level": "WARNING",
    }
    DBOS(config=config)
    DBOS.workflow(name="noop")(do_nothing)
    DBOS.launch()
    DBOS.register_queue(
        QUEUE,
        worker_concurrency=int(os.environ["BENCH_CONCURRENCY"]),
        polling_interval_sec=float(os.environ["BENCH_POLLING"]),
        on_conflict="always_update",
    )


def enqueue_all() -> None:
    """Enqueue jobs, one call each, from a few threads."""
    threads = int(os.environ["BENCH_THREADS"])
    client = DBOSClient(
        system_database_url=os.environ["BENCH_DSN"],
        system_database_pool_size=threads,
        application_name="bench",
    )
    produce(
        lambda: client.enqueue({"workflow_name": "noop", "queue_name": QUEUE, "app_version": VERSION}),
        threads=threads,
    )


if __name__ == "__main__":
    match sys.argv[-1]:
        case "worker":
            signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
            launch()
            signal.sigwait(STOP_SIGNALS)
            os._exit(0)  # its own shutdown waits for threads that poll
        case "schema":
            launch()
            os._exit(0)
        case _:
            enqueue_all()
