"""Metrics are text that Prometheus reads."""

from prometheus_client.parser import text_string_to_metric_families

from runwright.telemetry.prometheus import CONTENT_TYPE, MetricRegistry


def read(registry: MetricRegistry) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels, as Prometheus' own parser has it."""
    families = text_string_to_metric_families(registry.text())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_counters_add_up_by_labels() -> None:
    registry = MetricRegistry()
    counter = registry.counter("requests_total", "Requests.", ("route", "status"))
    counter.inc("/", 200)
    counter.inc("/", 200, by=2)
    counter.inc('a "quoted"\nback\\slash', 404)
    assert read(registry) == {
        ("requests_total", "/", "200"): 3.0,
        ("requests_total", 'a "quoted"\nback\\slash', "404"): 1.0,
    }


def test_a_value_at_a_bound_is_in_its_bucket_and_in_all_above() -> None:
    registry = MetricRegistry()
    histogram = registry.histogram("seconds", "Seconds.", (0.1, 1), ("route",))
    for value in (0.1, 0.2, 1, 5):
        histogram.observe(value, "/")
    assert read(registry) == {
        ("seconds_bucket", "/", "0.1"): 1.0,
        ("seconds_bucket", "/", "1.0"): 3.0,
        ("seconds_bucket", "/", "+Inf"): 4.0,
        ("seconds_count", "/"): 4.0,
        ("seconds_sum", "/"): 6.3,
    }


def test_metrics_without_labels_are_there_from_the_beginning() -> None:
    registry = MetricRegistry()
    registry.counter("fired_total", "Firings.")
    registry.histogram("late", "Lateness.", (1,))
    assert read(registry) == dict.fromkeys(
        [("fired_total",), ("late_bucket", "1.0"), ("late_bucket", "+Inf"), ("late_count",), ("late_sum",)],
        0.0,
    )


def test_families_have_their_kind_and_description() -> None:
    registry = MetricRegistry()
    registry.counter("fired_total", "How many fired.")
    (family,) = text_string_to_metric_families(registry.text())
    assert (family.type, family.documentation) == ("counter", "How many fired.")
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")
