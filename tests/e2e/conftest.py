"""The same real server that the contract is tested against."""

from tests.contract.conftest import api, http, make_key, rows_are_proved, server

__all__ = ["api", "http", "make_key", "rows_are_proved", "server"]
