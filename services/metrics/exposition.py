"""Samples as Prometheus reads them: text, by prometheus-client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from gateway.measure import Distribution, Metric, Sample
from services.metrics import Metrics


class _Samples(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Family]:
        yield from families(self._metrics.collect())


def registry_of(metrics: Metrics) -> CollectorRegistry:
    """A registry of its own, with the memory, CPU and open files of this process beside our figures."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(metrics))
    ProcessCollector(registry=registry)
    return registry


def exposed(metrics: Metrics, accept: str) -> tuple[bytes, str]:
    """The text, and its media type: OpenMetrics for who accepts it, else Prometheus' own."""
    try:
        encode, media_type = choose_encoder(accept)
    except TypeError:  # it compares whatever stands behind `version=` with numbers
        encode, media_type = choose_encoder("")
    return encode(registry_of(metrics)), media_type


def families(samples: Iterable[Sample]) -> list[Family]:
    """Samples of one metric together, in the order in which the metrics first appear."""
    found: dict[Metric, Family] = {}
    for sample in samples:
        family = found.get(sample.metric)
        if family is None:
            family = found[sample.metric] = _family(sample.metric)
        _add(family, sample)
    return list(found.values())


def _family(metric: Metric) -> Family:
    made: dict[str, type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]] = {
        "counter": CounterMetricFamily,
        "gauge": GaugeMetricFamily,
        "histogram": HistogramMetricFamily,
    }
    return made[metric.kind](metric.name, metric.about, labels=metric.labels)


def _add(family: Family, sample: Sample) -> None:
    if isinstance(family, HistogramMetricFamily):
        assert isinstance(sample.value, Distribution)
        family.add_metric(sample.labels, buckets=_buckets(sample.value), sum_value=sample.value.sum)
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily):
        assert not isinstance(sample.value, Distribution)
        family.add_metric(sample.labels, sample.value)


def _buckets(seen: Distribution) -> list[tuple[str, float]]:
    bounds = [*(repr(bound) for bound in seen.bounds), "+Inf"]
    return list(zip(bounds, accumulate(seen.counts), strict=True))
