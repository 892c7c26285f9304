"""The exposition's text, of which only the values change from scrape to scrape.

prometheus-client checks and escapes every name and label at every scrape, which is half of a scrape's time. Here its
own encoder is asked once for what stands around a value, and its answer kept; whatever is unusual it writes itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import _compose_exemplar_string as exemplar_text
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

MOST_KEPT = 10_000  # samples, and as many metrics: labels such as a document's revision come and go
_ELSEWHERE = ("_created", "_gsum", "_gcount")  # what the text format moves to another place

Encoder = Callable[[Collector], bytes]


class Text:
    """What one of prometheus-client's encoders makes of a registry, byte for byte. One thread at a time."""

    def __init__(self, encode: Encoder) -> None:
        self._encode = encode
        self._end = encode(_Only())
        self._has_exemplars = bool(self._end)  # OpenMetrics, which alone has a mark for its end
        self._head = lru_cache(MOST_KEPT)(self._make_head)
        self._lead = lru_cache(MOST_KEPT)(self._make_lead)

    def render(self, registry: Collector) -> bytes:
        parts: list[str] = []
        for metric in registry.collect():
            if any(map(_is_unusual, metric.samples)):
                parts.append(self._write(metric))
                continue
            about = (metric.name, metric.documentation, metric.type, metric.unit)
            parts.append(self._head(*about))
            for sample in metric.samples:
                lead = self._lead(about, sample.name, tuple(sample.labels.items()))
                more = exemplar_text(metric, sample, sample.exemplar) if self._shows_exemplar(sample) else ""
                parts.append(f"{lead}{floatToGoString(sample.value)}{more}\n")
        return "".join(parts).encode() + self._end

    def _shows_exemplar(self, sample: Sample) -> bool:
        return self._has_exemplars and sample.exemplar is not None

    def _make_head(self, name: str, documentation: str, kind: str, unit: str) -> str:
        return self._write(Metric(name, documentation, kind, unit))

    def _make_lead(self, about: tuple[str, str, str, str], name: str, labels: tuple[tuple[str, str], ...]) -> str:
        """A sample's line up to its value."""
        metric = Metric(*about)
        metric.samples.append(Sample(name, dict(labels), 0.0))
        return self._write(metric).removeprefix(self._head(*about)).removesuffix("0.0\n")

    def _write(self, metric: Metric) -> str:
        return self._encode(_Only(metric)).removesuffix(self._end).decode()


class _Only(Collector):
    """A registry of no more than these metrics."""

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _is_unusual(sample: Sample) -> bool:
    return sample.timestamp is not None or sample.native_histogram is not None or sample.name.endswith(_ELSEWHERE)
