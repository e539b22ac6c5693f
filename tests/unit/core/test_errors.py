"""Errors carry the message for the caller, and what a dialect needs to map them."""

import pytest

from runwright.core.errors import (
    ConflictError,
    InvalidError,
    QuotaError,
    RateLimitedError,
    RunwrightError,
)

ERRORS = [
    ConflictError("It has ended."),
    InvalidError({"name": ["Must be given."]}),
    InvalidError({}, "Nothing to change."),
    RateLimitedError("Too many requests.", retry_after=7),
    QuotaError("workers", 5, 6),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_prints_as_its_message(error: RunwrightError) -> None:
    assert str(error) == error.message
    assert error.args == (error.message,)


def test_errors_say_what_they_are_about() -> None:
    invalid, limited = InvalidError({"name": ["Must be given."]}), RateLimitedError("", retry_after=7)
    quota = QuotaError("workers", 5, 6)
    assert (invalid.message, invalid.fields) == ("The request is invalid.", {"name": ["Must be given."]})
    assert limited.retry_after == 7
    assert (quota.quota, quota.limit, quota.current) == ("workers", 5, 6)
    assert quota.message == "The tenant's quota workers is 5, and it has 6."
