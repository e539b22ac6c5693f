"""Metrics of the connections that sandboxes make."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from runwright.egress import Traffic


class TrafficCollector(Collector):
    """Collects the traffic counters of all sandboxes when metrics are scraped."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterable[Metric]:
        """Yield the current counts."""
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
        volume = CounterMetricFamily(
            "runwright_egress_bytes", "Bytes of sandboxes' connections.", labels=["direction"]
        )
        volume.add_metric(["out"], traffic.sent)
        volume.add_metric(["in"], traffic.received)
        yield volume
