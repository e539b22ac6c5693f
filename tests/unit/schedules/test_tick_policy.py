"""What becomes of ticks whose time has come, by the rules alone."""

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runwright.cron.timetable import Timetable, timetable_of
from runwright.schedules.tick_policy import (
    MOST_TICKS,
    CatchUp,
    Judgement,
    TickPolicy,
    due_time,
    jitter_of,
    judge,
)

NOON: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTELY: Final = timetable_of("* * * * *", "UTC")
HOURLY: Final = timetable_of("0 * * * *", "UTC")
HOURLY_PER_DAY: Final = 24


def judged(
    cursor: datetime, now: datetime, *, expression: str = "* * * * *", policy: TickPolicy | None = None
) -> Judgement:
    return judge(
        timetable_of(expression, "UTC"),
        key="sch_a",
        cursor=cursor,
        now=now,
        policy=policy or TickPolicy(grace_seconds=30),
    )


def fired(judgement: Judgement) -> list[datetime]:
    return [tick.scheduled_for for tick in judgement.ticks if tick.fires]


def missed(judgement: Judgement) -> list[datetime]:
    return [tick.scheduled_for for tick in judgement.ticks if not tick.fires]


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_nothing_is_judged_before_it_is_due() -> None:
    judgement = judged(NOON, NOON - timedelta(milliseconds=1))
    assert (judgement.ticks, judgement.next_at) == ([], NOON)


def test_a_tick_fires_when_it_is_due_and_the_cursor_moves_on() -> None:
    judgement = judged(NOON, NOON)
    assert (fired(judgement), missed(judgement)) == ([NOON], [])
    assert judgement.next_at == NOON + minutes(1)


@pytest.mark.parametrize(("late_seconds", "fires"), [(30, True), (30.001, False)])
def test_the_grace_is_how_late_a_tick_may_fire(late_seconds: float, fires: bool) -> None:
    judgement = judged(NOON, NOON + timedelta(seconds=late_seconds))
    assert bool(fired(judgement)) == fires


def test_after_an_outage_what_was_missed_is_not_made_up_for() -> None:
    judgement = judged(NOON, NOON + minutes(3.6))
    assert fired(judgement) == []
    assert missed(judgement) == [NOON + minutes(n) for n in range(4)]
    assert judgement.next_at == NOON + minutes(4)


def test_catch_up_last_makes_up_for_the_latest_one_once() -> None:
    policy = TickPolicy(catch_up=CatchUp.LAST, grace_seconds=30)
    judgement = judged(NOON, NOON + minutes(3.6), policy=policy)
    assert fired(judgement) == [NOON + minutes(3)]
    assert missed(judgement) == [NOON + minutes(n) for n in range(3)]


def test_catch_up_last_does_not_add_to_a_tick_that_fires_in_time() -> None:
    policy = TickPolicy(catch_up=CatchUp.LAST, grace_seconds=30)
    judgement = judged(NOON, NOON + minutes(3), policy=policy)
    assert fired(judgement) == [NOON + minutes(3)]
    assert missed(judgement) == [NOON + minutes(n) for n in range(3)]


@pytest.mark.parametrize("catch_up", [CatchUp.NONE, CatchUp.LAST])
def test_ticks_that_are_late_together_may_be_coalesced_to_the_latest(catch_up: CatchUp) -> None:
    policy = TickPolicy(catch_up=catch_up, grace_seconds=3600, coalesce=True)
    late = judged(NOON, NOON + minutes(10), policy=policy)
    assert fired(late) == [NOON + minutes(10)]
    assert len(missed(late)) == 10
    many = judged(NOON, NOON + minutes(30 * MOST_TICKS), policy=policy)
    assert fired(many) == []


def test_catch_up_all_coalesces_nothing() -> None:
    policy = TickPolicy(catch_up=CatchUp.ALL, grace_seconds=3600, coalesce=True)
    assert len(fired(judged(NOON, NOON + minutes(10), policy=policy))) == 11


def test_a_long_outage_becomes_a_gap_that_says_how_many_there_were() -> None:
    now = NOON + timedelta(days=30, seconds=45)
    judgement = judged(NOON, now)
    assert len(judgement.ticks) == MOST_TICKS
    assert fired(judgement) == []
    assert judgement.gap is not None
    assert judgement.gap.scheduled_for == NOON + minutes(MOST_TICKS)
    assert judgement.gap.through == now - timedelta(hours=1)
    assert judgement.next_at == NOON + timedelta(days=30) - minutes(59)
    assert judgement.next_at is not None
    gone = MOST_TICKS + judgement.gap.count
    assert NOON + minutes(gone) == judgement.next_at


def test_a_gap_never_swallows_what_may_still_fire() -> None:
    policy = TickPolicy(grace_seconds=86_400)
    now = NOON + timedelta(days=30)
    judgement = judged(NOON, now, policy=policy)
    assert judgement.gap is not None
    assert judgement.gap.through == now - timedelta(days=1)
    assert judgement.next_at is not None
    following = judged(judgement.next_at, now, policy=policy)
    assert fired(following)[0] == judgement.next_at


def test_with_catch_up_all_the_latest_hundred_that_are_late_fire() -> None:
    policy = TickPolicy(catch_up=CatchUp.ALL, grace_seconds=30)
    few = judged(NOON, NOON + minutes(MOST_TICKS - 1), policy=policy)
    assert fired(few) == [NOON + minutes(n) for n in range(MOST_TICKS)]
    now = NOON + timedelta(days=400, seconds=40)
    first = judged(NOON, now, policy=policy)
    assert fired(first) == []
    assert first.gap is not None
    assert first.next_at is not None
    rest = judged(first.next_at, now, policy=policy)
    assert len(fired(rest)) == MOST_TICKS
    assert fired(rest)[-1] == NOON + timedelta(days=400)
    assert 1 + first.gap.count + MOST_TICKS == 1 + HOURLY_PER_DAY * 60 * 400


@given(st.text(max_size=10), st.integers(0, 10**6), st.integers(1, 3600))
def test_the_jitter_of_a_tick_is_always_the_same_and_below_the_bound(key: str, n: int, bound: int) -> None:
    jitter = jitter_of(key, NOON + minutes(n), bound)
    assert timedelta() <= jitter < timedelta(seconds=bound)
    assert jitter == jitter_of(key, NOON + minutes(n), bound)
    assert jitter.microseconds % 1000 == 0


def test_jitter_spreads() -> None:
    spread = {jitter_of(f"sch_{n}", NOON, 60) // timedelta(seconds=6) for n in range(500)}
    assert spread == set(range(10))
    assert jitter_of("sch_a", NOON, 0) == timedelta()


def cursor_is_ahead(table: Timetable, judgement: Judgement, now: datetime, policy: TickPolicy) -> bool:
    following = table.next_after(judgement.ticks[-1].scheduled_for)
    due_at = due_time("sch_a", following, policy)
    return due_at is None or due_at > now


@settings(deadline=None)
@given(
    pauses=st.lists(st.integers(1, 9000), min_size=1, max_size=25),
    grace=st.integers(1, 400),
    jitter=st.integers(0, 200),
    catch_up=st.sampled_from(CatchUp),
    expression=st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "30 4 * * *"]),
)
def test_whenever_passes_are_made_every_tick_is_judged_once_and_in_order(
    pauses: list[int], grace: int, jitter: int, catch_up: CatchUp, expression: str
) -> None:
    table = timetable_of(expression, "UTC")
    policy = TickPolicy(catch_up=catch_up, grace_seconds=grace, jitter_seconds=jitter)
    cursor, now = table.next_after(NOON), NOON
    total, last = 0, NOON
    for pause in pauses:
        now += timedelta(seconds=pause)
        assert cursor is not None
        judgement = judge(table, key="sch_a", cursor=cursor, now=now, policy=policy)
        for tick in judgement.ticks:
            assert last < tick.scheduled_for <= tick.due_at <= now
            last = tick.scheduled_for
            in_time = now - tick.due_at <= timedelta(seconds=grace)
            latest = tick is judgement.ticks[-1] and cursor_is_ahead(table, judgement, now, policy)
            if catch_up is CatchUp.ALL:
                assert tick.fires or table.count(tick.scheduled_for, now) >= MOST_TICKS
            else:
                assert tick.fires == (in_time or (latest and catch_up is CatchUp.LAST))
        total += len(judgement.ticks)
        if judgement.gap is not None:
            total += judgement.gap.count
            last = judgement.gap.through
        cursor = judgement.next_at
        assert cursor is not None
        assert cursor > last
    assert cursor is not None
    assert total == table.count(NOON, cursor - timedelta(seconds=1))
