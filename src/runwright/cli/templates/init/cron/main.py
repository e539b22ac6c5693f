"""A worker that a schedule runs; `input` is what the schedule gives it."""

from datetime import datetime, timezone


def handler(input, env):
    now = datetime.now(timezone.utc)
    print(f"report of {now:%Y-%m-%d %H:%M} for {input.get('channel', 'everyone')}")
    return {"at": now.isoformat(), "rows": 0}
