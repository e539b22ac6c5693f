"""The measurement of what holds the event loop has every resource of the API."""

from tests.bench.holders import LARGE, SCENARIOS
from tests.bench.hostile import routes


def test_every_resource_has_its_largest_input_measured() -> None:
    paths = {route.path for route in routes()}
    assert [path for path in sorted(paths) if not any(_below(path, one) for one in LARGE)] == []
    assert [one for one in LARGE if not any(_below(path, one) for path in paths)] == [], "rows of no route"


def test_every_scenario_belongs_to_a_resource() -> None:
    assert {name for names in LARGE.values() for name in names} == SCENARIOS.keys()


def _below(path: str, resource: str) -> bool:
    return path == resource or path.startswith(f"{resource}/")
