# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call,no-any-return"
"""The huey application, which the consumer and the caller import."""

import os

from huey import RedisHuey

huey = RedisHuey("bench", url=f"unix://{os.environ['BENCH_REDIS_SOCKET']}?db=0", notify_result=True)


def do_nothing() -> int:
    """Be the handler; huey stores no result that is None."""
    return 1


noop = huey.task(name="noop")(do_nothing)
