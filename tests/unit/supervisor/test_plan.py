"""How many processes a server has, and what each of them does."""

from pathlib import Path

import pytest

from runwright.config import Settings
from runwright.config.setting_types import ROLE_NAMES
from runwright.runtimes.pool.default_slots import HostResources
from runwright.supervisor import plan
from runwright.supervisor.plan import ChildStart, decode_start, encode_start, plan_processes, process_count


@pytest.mark.parametrize(("processors", "count"), [(1, 1), (3, 1), (4, 2), (8, 2), (16, 4), (64, 16)])
def test_auto_follows_the_processors(processors: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "host_resources", lambda: HostResources(processors, 1 << 36))
    assert process_count(Settings()) == count
    assert process_count(Settings(processes=3)) == 3
    for alone in (Settings(demo=True), Settings(dev=True), Settings(roles=("executor",))):
        assert process_count(alone) == 1


def test_each_role_runs_and_executors_share_the_slots() -> None:
    settings = Settings(
        processes=2, executor_slots=5, executor_newcomer_slots=0, pool_prebooted_python=1, demo=True
    )
    plans = {one.name: one.settings for one in plan_processes(settings, 2)}
    assert {name: one.roles for name, one in plans.items()} == {
        "api-1": ("api",),
        "api-2": ("api",),
        "executor-1": ("executor",),
        "executor-2": ("executor",),
        "background": ("scheduler", "router", "deliverer"),
    }
    assert {role for one in plans.values() for role in one.roles} == set(ROLE_NAMES)
    executors = [plans["executor-1"], plans["executor-2"]]
    assert [one.executor_slots for one in executors] == [3, 2]
    assert [one.executor_newcomer_slots for one in executors] == [0, 0]
    assert [one.pool_prebooted_python for one in executors] == [1, 1], "none of them is left cold"
    assert [name for name, one in plans.items() if one.demo] == ["api-1"]
    assert {one.processes for one in plans.values()} == {2}


def test_one_process_has_the_port_of_the_probes() -> None:
    plans = plan_processes(Settings(probe_port=9000), 2)
    assert [one.name for one in plans if one.settings.probe_port == 9000] == ["background"]
    (alone, *others) = reversed(plan_processes(Settings(probe_port=9000, roles=("executor",)), 2))
    assert alone.settings.probe_port == 9000
    assert {one.settings.probe_port for one in others} == {None}


def test_no_executor_is_without_a_slot() -> None:
    names = [one.name for one in plan_processes(Settings(roles=("executor",), executor_slots=1), 4)]
    assert names == ["executor-1"]


def test_settings_arrive_as_they_were() -> None:
    settings = Settings(
        data_dir=Path("/a"), platform_key="secret", egress_ports=(1, 2), sources={"port": "flag"}
    )
    assert decode_start(encode_start(ChildStart(settings, None))) == ChildStart(settings, None)
