"""Metrics of the connections that sandboxes make."""

from collections.abc import Iterator

from runwright.egress import Traffic
from runwright.telemetry.prometheus import Family, MetricSample


def traffic_metrics(traffic: Traffic) -> Iterator[Family]:
    """Yield the present counts of all sandboxes."""
    name = "runwright_egress_open_connections"
    yield Family(
        name, "gauge", "Connections of sandboxes that are open.", [MetricSample(name, {}, traffic.open)]
    )
    outcomes = {"refused": traffic.refused, "accepted": traffic.connections - traffic.refused}
    yield _counter("connections", "Connections that sandboxes made, by outcome.", "outcome", outcomes)
    directions = {"out": traffic.sent, "in": traffic.received}
    yield _counter("bytes", "Bytes of sandboxes' connections.", "direction", directions)


def _counter(of: str, description: str, label: str, counts: dict[str, int]) -> Family:
    name = f"runwright_egress_{of}_total"
    samples = [MetricSample(name, {label: value}, count) for value, count in counts.items()]
    return Family(name, "counter", description, samples)
