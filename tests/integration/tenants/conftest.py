"""The clock of the tests of keys and sessions."""

from datetime import UTC, datetime, timedelta

import pytest


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, duration: timedelta) -> None:
        self.now += duration


@pytest.fixture
def time() -> Time:
    return Time()
