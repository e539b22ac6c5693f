"""Ids have a shape, an order, and a floor."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.core.ids import (
    floor_id,
    id_of_number,
    id_of_uuid,
    is_id,
    new_id,
    number_of,
    time_of,
    uuid_of,
)

TIMES = st.integers(31_536_000_000, 7_258_118_400_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))


@given(at=TIMES)
def test_ids_of_one_instant_grow_and_lie_between_the_floors_around_it(at: datetime) -> None:
    ids = [new_id("job", at) for _ in range(5)]
    assert ids == sorted(set(ids))
    later = at + timedelta(milliseconds=1)
    assert all(floor_id("job", at) <= one < floor_id("job", later) for one in ids)


@given(text=st.text())
def test_what_is_not_an_id_is_refused(text: str) -> None:
    assert not is_id("job", text)
    assert not is_id("job", f"job_{text}") or len(text) == 26


def test_an_id_is_one_of_its_kind_only() -> None:
    one = new_id("job", datetime(2026, 1, 1, tzinfo=UTC))
    assert is_id("job", one)
    assert not is_id("wkr", one)
    assert not is_id("job", one.upper())
    assert not is_id("job", one + "\n")


@given(at=TIMES)
def test_an_id_and_its_uuid_lead_to_one_another(at: datetime) -> None:
    one = new_id("job", at)
    known = uuid_of(one)
    assert str(uuid.UUID(known)) == known
    assert id_of_uuid("job", known) == one
    assert id_of_uuid("job", known.upper()) == one


@given(text=st.text() | st.uuids().map(lambda one: one.hex) | st.uuids().map(lambda one: f"{{{one}}}"))
def test_what_is_not_written_as_a_uuid_is_no_id(text: str) -> None:
    assert id_of_uuid("job", text) is None


@given(any_uuid=st.uuids())
def test_any_uuid_stands_for_something_that_has_the_shape_of_an_id(any_uuid: uuid.UUID) -> None:
    found = id_of_uuid("job", str(any_uuid))
    assert found is not None
    assert is_id("job", found)
    assert uuid_of(found) == str(any_uuid)


@given(at=TIMES)
def test_the_floor_is_the_smallest_id_of_its_time(at: datetime) -> None:
    assert floor_id("job", at) == id_of_number("job", at, 0) < id_of_number("job", at, 1)
    assert time_of(floor_id("job", at)) == at


@pytest.mark.parametrize("year", [1, 1969, 1970])
def test_no_id_is_smaller_than_the_floor_of_a_time_before_1970(year: int) -> None:
    assert floor_id("job", datetime(year, 1, 1, tzinfo=UTC)) == "job_" + "0" * 26


def test_the_last_time_there_is_has_an_id() -> None:
    last = datetime.max.replace(microsecond=999_000, tzinfo=UTC)
    assert time_of(floor_id("job", last)) == last


@given(at=TIMES)
def test_the_time_of_an_id_is_the_one_it_was_made_for(at: datetime) -> None:
    assert time_of(new_id("job", at)) == time_of(id_of_number("job", at, 7)) == at


def test_the_number_of_an_id_can_be_read_back() -> None:
    for number in (0, 1, 2**40 + 7):
        at = datetime(2026, 3, 1, tzinfo=UTC)
        assert number_of(id_of_number("evt", at, number)) == number
