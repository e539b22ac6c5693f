"""Which processes a server has, and the settings of each."""

from pathlib import Path
from typing import Final

import msgspec

from runwright.config import Settings
from runwright.config.setting_types import ROLE_NAMES
from runwright.runtimes.host import Host
from runwright.runtimes.pool.default_slots import default_newcomer_slots, default_slots, host_resources

FEWEST_PROCESSORS: Final = 4
"""With fewer, "auto" is one process."""

_PROCESSORS_OF_A_PAIR: Final = 4
"""An API process, an executor, and what they keep busy: PostgreSQL and sandboxes."""

_PREBOOTED: Final = tuple(f"pool_prebooted_{name}" for name in ("python", "nodejs", "shell", "deno", "wasm"))


class ProcessPlan(msgspec.Struct, frozen=True):
    """One child: its name, what kind of process it is, and its settings."""

    name: str
    kind: str
    settings: Settings


def process_count(settings: Settings) -> int:
    """Return how many API processes, and how many executors, a server has; 1 for one process that is all."""
    if settings.processes != "auto":
        return settings.processes
    processors = host_resources().processors
    if settings.demo or settings.dev or processors < FEWEST_PROCESSORS or settings.roles != ROLE_NAMES:
        return 1
    return max(2, processors // _PROCESSORS_OF_A_PAIR)


def plan_processes(settings: Settings, count: int) -> list[ProcessPlan]:
    """Return the children: executors, API processes, and one process for the other roles."""
    plans: list[ProcessPlan] = []
    if "executor" in settings.roles:
        slots = default_slots(settings.executor_slots, host_resources())
        executors = min(count, slots)
        plans += [_executor(settings, slots, number, executors) for number in range(executors)]
    if "api" in settings.roles:
        plans += [_api_process(settings, number) for number in range(count)]
    others = tuple(role for role in settings.roles if role not in {"api", "executor"})
    if others:
        own = msgspec.structs.replace(settings, roles=others, demo=False)
        plans.append(ProcessPlan("background", "background", own))
    # One of them answers probes on the port of their own, for all.
    last = len(plans) - 1
    return [_with_count(plan, count, has_probes=number == last) for number, plan in enumerate(plans)]


class ChildStart(msgspec.Struct, frozen=True):
    """What a child starts with."""

    settings: Settings
    host: Host | None
    """What an executor has found out about this machine, for those that only report it."""


def encode_start(start: ChildStart) -> bytes:
    """Return it as bytes: settings contain secrets, which no argument may show."""
    return msgspec.msgpack.encode(start, enc_hook=str)


def decode_start(encoded: bytes) -> ChildStart:
    """Return what `encode_start` was given."""
    return msgspec.msgpack.decode(encoded, type=ChildStart, dec_hook=_decode_path)


def _api_process(settings: Settings, number: int) -> ProcessPlan:
    own = msgspec.structs.replace(settings, roles=("api",), demo=settings.demo and number == 0)
    return ProcessPlan(f"api-{number + 1}", "api", own)


def _executor(settings: Settings, slots: int, number: int, executors: int) -> ProcessPlan:
    newcomers = default_newcomer_slots(settings.executor_newcomer_slots, host_resources())
    kept = {name: _share(getattr(settings, name), number, executors, fewest=1) for name in _PREBOOTED}
    own = msgspec.structs.replace(
        settings,
        roles=("executor",),
        demo=False,
        executor_slots=_share(slots, number, executors),
        executor_newcomer_slots=_share(newcomers, number, executors),
        build_slots=_share(settings.build_slots, number, executors, fewest=1),
        **kept,
    )
    return ProcessPlan(f"executor-{number + 1}", "executor", own)


def _with_count(plan: ProcessPlan, count: int, *, has_probes: bool) -> ProcessPlan:
    probe_port = plan.settings.probe_port if has_probes else None
    settings = msgspec.structs.replace(plan.settings, processes=count, probe_port=probe_port)
    return msgspec.structs.replace(plan, settings=settings)


def _share(total: int, number: int, executors: int, *, fewest: int = 0) -> int:
    """Return the share of one of several executors, at least `fewest` of what is not 0."""
    share = total // executors + (number < total % executors)
    return max(share, min(fewest, total))


def _decode_path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"cannot decode {kind}")
