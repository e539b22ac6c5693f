"""Ids are short on a terminal, and whole elsewhere and with `-o wide`."""

import io

import pytest

from runwright.cli import refs

JOB = "job_01jd9x3v7m0000000000000000"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_ids_are_short_on_a_terminal_only_and_whole_where_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refs.Ids, "shortened", True)
    assert refs.short_id(JOB, Tty()) == f"…{JOB[-refs.SHORT :]}"
    assert refs.short_id(JOB, io.StringIO()) == JOB
    refs.show_full_ids()
    assert refs.short_id(JOB, Tty()) == JOB
