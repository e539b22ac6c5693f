"""Counters and histograms, and their text in the format that Prometheus reads (0.0.4).

Counting is on the way of every request and job: it is an addition in a dictionary, without a lock. Whole
additions do not mix, as the interpreter changes threads between functions only.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})

Labels = tuple[object, ...]
"""The values of a metric's labels, in their order."""


class MetricSample(msgspec.Struct, frozen=True):
    """One value."""

    name: str
    labels: Mapping[str, object]
    value: float


class Family(msgspec.Struct, frozen=True):
    """The samples of a metric."""

    name: str
    kind: str
    help: str
    samples: Sequence[MetricSample]


Samples = Sequence[tuple[Mapping[str, object], float]]
"""Values by their labels."""


def family(name: str, kind: str, description: str, value: float | Samples) -> Family:
    """Return the family `runwright_NAME` of one value, or of values with labels."""
    samples: Samples = [({}, value)] if isinstance(value, int | float) else value
    full_name = f"runwright_{name}"
    return Family(full_name, kind, description, [MetricSample(full_name, *sample) for sample in samples])


class Counter:
    """Counts by labels."""

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        self._name, self._description, self._labels = name, description, labels
        self._values: dict[Labels, float] = {} if labels else {(): 0}

    def inc(self, *labels: object, by: float = 1) -> None:
        """Add to the count of these labels."""
        self._values[labels] = self._values.get(labels, 0) + by

    def families(self) -> Iterator[Family]:
        samples = [
            MetricSample(self._name, _named(self._labels, of), n) for of, n in list(self._values.items())
        ]
        yield Family(self._name, "counter", self._description, samples)


class _Series:
    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.total = 0.0


class Histogram:
    """How many values were up to each bound, by labels."""

    def __init__(
        self, name: str, description: str, bounds: Sequence[float], labels: Sequence[str] = ()
    ) -> None:
        self._name, self._description, self._labels, self._bounds = name, description, labels, bounds
        self._series: dict[Labels, _Series] = {} if labels else {(): _Series(len(bounds))}

    def observe(self, value: float, *labels: object) -> None:
        """Add a value to those of these labels."""
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series(len(self._bounds))
        series.counts[bisect_left(self._bounds, value)] += 1
        series.total += value

    def families(self) -> Iterator[Family]:
        samples = [
            one for labels, series in list(self._series.items()) for one in self._samples(labels, series)
        ]
        yield Family(self._name, "histogram", self._description, samples)

    def _samples(self, labels: Labels, series: _Series) -> Iterator[MetricSample]:
        named, below = _named(self._labels, labels), 0
        for bound, count in zip([*map(float, self._bounds), "+Inf"], series.counts, strict=True):
            below += count
            yield MetricSample(f"{self._name}_bucket", named | {"le": bound}, below)
        yield MetricSample(f"{self._name}_count", named, below)
        yield MetricSample(f"{self._name}_sum", named, series.total)


class MetricRegistry:
    """The metrics of a process."""

    def __init__(self) -> None:
        self._sources: list[Callable[[], Iterable[Family]]] = []

    def counter(self, name: str, description: str, labels: Sequence[str] = ()) -> Counter:
        """Return a new counter."""
        counter = Counter(name, description, labels)
        self.register(counter.families)
        return counter

    def histogram(
        self, name: str, description: str, bounds: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        """Return a new histogram; `bounds` ascend."""
        histogram = Histogram(name, description, bounds, labels)
        self.register(histogram.families)
        return histogram

    def register(self, source: Callable[[], Iterable[Family]]) -> None:
        """Add a function that returns metrics whenever they are read."""
        self._sources.append(source)

    def families(self) -> Iterator[Family]:
        """Return all metrics."""
        return (family for source in self._sources for family in source())

    def text(self) -> str:
        """Return all metrics in Prometheus' text format."""
        return text_of(self.families())

    def value(self, sample_name: str, /, **labels: str) -> float | None:
        """Return one value, None where there is none."""
        for family in self.families():
            for sample in family.samples:
                if (
                    sample.name == sample_name
                    and {key: str(of) for key, of in sample.labels.items()} == labels
                ):
                    return sample.value
        return None


def text_of(families: Iterable[Family]) -> str:
    """Return metrics in Prometheus' text format."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _named(names: Sequence[str], labels: Labels) -> dict[str, object]:
    return dict(zip(names, labels, strict=True))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        labels = ",".join(
            f'{name}="{str(value).translate(_ESCAPES)}"' for name, value in sample.labels.items()
        )
        yield f"{sample.name}{f'{{{labels}}}' if labels else ''} {float(sample.value)!r}"
