"""Metrics of the connections that sandboxes make."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from runwright.egress import Traffic


class TrafficCollector(Collector):
    """What sandboxes and the outside have said to each other since the start; read when somebody asks."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterable[Metric]:
        """Return the counts of now."""
        traffic = self._traffic
        yield GaugeMetricFamily(
            "runwright_egress_open_connections", "Connections of sandboxes that are open.", traffic.open
        )
        outcomes = CounterMetricFamily(
            "runwright_egress_connections", "Connections that sandboxes made, by outcome.", labels=["outcome"]
        )
        outcomes.add_metric(["refused"], traffic.refused)
        outcomes.add_metric(["accepted"], traffic.connections - traffic.refused)
        yield outcomes
        moved = CounterMetricFamily(
            "runwright_egress_bytes", "Bytes of sandboxes' connections.", labels=["direction"]
        )
        moved.add_metric(["out"], traffic.sent)
        moved.add_metric(["in"], traffic.received)
        yield moved
