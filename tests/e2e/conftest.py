"""A real server like that which the contract is tested against."""

from tests.contract.conftest import api, http, make_key, pytest_runtest_teardown, rows_are_proved, server

__all__ = ["api", "http", "make_key", "pytest_runtest_teardown", "rows_are_proved", "server"]
