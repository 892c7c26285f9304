"""The exposition's text, of which only the values change from scrape to scrape.

prometheus-client checks and escapes every name and label at every scrape, which is half of a scrape's time. Here its
own encoder is asked once for what stands around a value, and its answer kept; whatever is unusual it writes itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import _compose_exemplar_string as exemplar_text
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

MOST_KEPT = 20_000  # samples; metrics of others the encoder writes, which throws out nothing that is needed
_ELSEWHERE = ("_created", "_gsum", "_gcount")  # what the text format moves to another place

Encoder = Callable[[Collector], bytes]
_About = tuple[str, str, str, str]  # a metric's name, help text, type and unit
_Place = tuple[_About, str, tuple[tuple[str, str], ...]]  # a sample's metric, name and labels


class Text:
    """What one of prometheus-client's encoders makes of a registry, byte for byte. One thread at a time."""

    def __init__(self, encode: Encoder) -> None:
        self._encode = encode
        self._end = encode(_Only())
        self._has_exemplars = bool(self._end)  # OpenMetrics, which alone has a mark for its end
        self._heads: dict[_About, str] = {}
        self._leads: dict[_Place, str] = {}

    def render(self, registry: Collector) -> bytes:
        parts: list[str] = []
        for metric in registry.collect():
            lines = None if any(map(_is_unusual, metric.samples)) else self._lines(metric)
            parts += [self._write(metric)] if lines is None else lines
        return "".join(parts).encode() + self._end

    def _lines(self, metric: Metric) -> list[str] | None:
        """The metric's text; None if not all around its values is kept, and there is no room for it."""
        about = (metric.name, metric.documentation, metric.type, metric.unit)
        lines = [self._heads.get(about) or self._keep_head(about)]
        for sample in metric.samples:
            place = (about, sample.name, tuple(sample.labels.items()))
            if (lead := self._leads.get(place) or self._keep_lead(place)) is None:
                return None
            exemplar = sample.exemplar if self._has_exemplars else None
            more = exemplar_text(metric, sample, exemplar) if exemplar else ""
            lines.append(f"{lead}{floatToGoString(sample.value)}{more}\n")
        return lines

    def _keep_head(self, about: _About) -> str:
        head = self._write(Metric(*about))
        if len(self._heads) < MOST_KEPT:
            self._heads[about] = head
        return head

    def _keep_lead(self, place: _Place) -> str | None:
        """A sample's line up to its value."""
        if len(self._leads) >= MOST_KEPT:
            return None
        about, name, labels = place
        metric = Metric(*about)
        metric.samples.append(Sample(name, dict(labels), 0.0))
        lead = self._write(metric).removeprefix(self._write(Metric(*about))).removesuffix("0.0\n")
        self._leads[place] = lead
        return lead

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
