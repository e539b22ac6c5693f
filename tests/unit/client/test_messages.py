"""The paths and the queries of the SDK's requests."""

from datetime import UTC, datetime

import pytest

from runwright.client.errors import SetupError
from runwright.client.messages import fill, query_of


def test_an_id_is_one_segment_of_the_path() -> None:
    assert fill("/jobs/{id}/runs/{run}", "a/b?c#d%2f", "ü x") == "/jobs/a%2Fb%3Fc%23d%252f/runs/%C3%BC%20x"


@pytest.mark.parametrize("segment", ["", ".", "..", "a\nb", "a\x00"])
def test_what_could_lead_elsewhere_is_no_id(segment: str) -> None:
    with pytest.raises(SetupError, match="cannot be the id"):
        fill("/jobs/{id}", segment)


def test_queries_are_text_without_what_is_none() -> None:
    given = {"a": None, "b": True, "c": ["x", 2], "d": datetime(2026, 5, 1, tzinfo=UTC), "e": 0}
    assert query_of(**given) == {"b": "true", "c": "x,2", "d": "2026-05-01T00:00:00Z", "e": "0"}
