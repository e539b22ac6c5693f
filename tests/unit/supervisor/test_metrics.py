"""Metrics of several processes, added up."""

from runwright.supervisor.metrics import add_up, counted
from runwright.telemetry.prometheus import Family, MetricRegistry, MetricSample, text_of


def one_process(jobs: int, seconds: float) -> MetricRegistry:
    registry = MetricRegistry()
    counter = registry.counter("jobs_total", "Jobs.", ["status"])
    counter.inc("completed", by=jobs)
    registry.histogram("run_seconds", "How long.", [0.1, 1.0]).observe(seconds)
    return registry


def test_what_has_the_same_name_and_labels_is_added_up() -> None:
    first, second = one_process(2, 0.05), one_process(3, 0.5)
    second.counter("other_total", "Only here.").inc()
    lines = text_of(add_up([list(first.families()), list(second.families())])).splitlines()
    assert 'jobs_total{status="completed"} 5.0' in lines
    assert 'run_seconds_bucket{le="0.1"} 1.0' in lines
    assert 'run_seconds_bucket{le="+Inf"} 2.0' in lines
    assert "run_seconds_sum 0.55" in lines
    assert "other_total 1.0" in lines
    assert lines.count("# TYPE jobs_total counter") == 1


def test_only_what_grows_stays_of_a_process_that_has_ended() -> None:
    registry = one_process(1, 0.05)
    gauge = [one for one in registry.families() if one.name == "jobs_total"]
    families = [*registry.families(), *(type(one)("open", "gauge", "Open.", one.samples) for one in gauge)]
    assert [family.name for family in counted(families)] == ["jobs_total", "run_seconds"]


def test_of_ages_the_largest_is_shown() -> None:
    def one(name: str, value: float) -> Family:
        return Family(name, "gauge", "A gauge.", [MetricSample(name, {}, value)])

    added = add_up(
        [[one("lease_age_seconds", 3), one("slots", 2)], [one("lease_age_seconds", 1), one("slots", 4)]]
    )
    assert [family.samples[0].value for family in added] == [3, 6]
