"""The metrics of several processes as those of one: what has the same name and labels is added up."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from runwright.telemetry.prometheus import Family, MetricSample

_COUNTED: Final = {"counter", "histogram"}

SampleKey = tuple[str, tuple[tuple[str, object], ...]]


def add_up(processes: Iterable[Sequence[Family]]) -> list[Family]:
    """Return the sum of the metrics of processes."""
    families: dict[str, Family] = {}
    samples: dict[str, dict[SampleKey, MetricSample]] = {}
    for family in (family for one in processes for family in one):
        families.setdefault(family.name, family)
        of_family = samples.setdefault(family.name, {})
        for sample in family.samples:
            key = (sample.name, _items(sample.labels))
            before = of_family.get(key)
            value = sample.value if before is None else _together(family, before.value, sample.value)
            of_family[key] = MetricSample(sample.name, sample.labels, value)
    return [
        msgspec.structs.replace(family, samples=list(samples[name].values()))
        for name, family in families.items()
    ]


def counted(families: Iterable[Family]) -> list[Family]:
    """Return those that only grow: they stay counted when their process has ended."""
    return [family for family in families if family.kind in _COUNTED]


def _together(family: Family, one: float, other: float) -> float:
    """Return the sum; of gauges in seconds, which are ages and terms, the larger."""
    if family.kind == "gauge" and family.name.endswith("_seconds"):
        return max(one, other)
    return one + other


def _items(labels: Mapping[str, object]) -> tuple[tuple[str, object], ...]:
    return tuple(labels.items())
