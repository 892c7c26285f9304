"""The text that is kept from scrape to scrape is prometheus-client's own, whatever is in the registry."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample

from hola.telemetry.metric_text import Encoder, Text

FORMATS = [
    "",
    "text/plain; version=1.0.0; escaping=allow-utf-8",
    "application/openmetrics-text; version=1.0.0",
    "application/openmetrics-text; version=1.0.0; escaping=allow-utf-8",
    "application/openmetrics-text; version=2.0.0; escaping=dots",
]
NAMES = st.text('abz_:é "\\\n.', min_size=1, max_size=8)
TEXTS = st.text('az"\\\n{}=,é ', max_size=8)
VALUES = st.floats() | st.integers(-5, 10**21)
TIMES = st.none() | st.just(1.5)
EXEMPLARS = st.none() | st.builds(
    Exemplar, st.dictionaries(st.just("trace_id"), TEXTS), VALUES, st.none() | st.just(2.5)
)


class Fixed(Collector):
    def __init__(self, metrics: list[Metric]) -> None:
        self.metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self.metrics


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    kind = draw(st.sampled_from(["counter", "gauge", "histogram", "unknown", "gaugehistogram", "stateset", "info"]))
    made = Metric(draw(NAMES), draw(TEXTS), kind)
    suffixes = st.sampled_from(["", "_total", "_bucket", "_sum", "_created", "_gsum"])
    for _ in range(draw(st.integers(0, 4))):
        name = made.name + draw(suffixes)
        takes_exemplar = (kind, name[len(made.name) :]) in {("counter", "_total"), ("histogram", "_bucket")}
        exemplar = draw(EXEMPLARS) if takes_exemplar else None
        labels = draw(st.dictionaries(NAMES, TEXTS, max_size=3))
        made.samples.append(Sample(name, labels, draw(VALUES), draw(TIMES), exemplar))
    return made


@pytest.fixture(params=FORMATS)
def encode(request: pytest.FixtureRequest) -> Encoder:
    return choose_encoder(request.param)[0]


@pytest.mark.parametrize("accept", FORMATS)
@given(found=st.lists(metrics(), max_size=4))
def test_it_is_what_prometheus_client_writes(accept: str, found: list[Metric]) -> None:
    encode = choose_encoder(accept)[0]
    registry, text = Fixed(found), Text(encode)
    assert text.render(registry) == text.render(registry) == encode(registry)


def test_values_and_exemplars_are_those_of_the_moment(encode: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "ValueClass", values.MutexValue)
    registry = CollectorRegistry()
    asked = Counter("asked", "Asked.", ("what",), registry=registry)
    waiting = Gauge("waiting", "Waiting.", registry=registry)
    seconds, size = Histogram("seconds", "Took.", registry=registry), Summary("size", "Bytes.", registry=registry)
    text = Text(encode)
    for value in (0, 1, 0.1, math.inf, math.nan, 1e300):
        asked.labels('what \\ "it"\n').inc(1, {"trace_id": f"{value}"})
        waiting.set(value)
        seconds.observe(value, {"trace_id": f"{value}"})
        size.observe(value)
        assert text.render(registry) == encode(registry)


def test_what_comes_and_goes_is_not_kept_for_ever(encode: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is kept already goes on to be, however much else there is."""
    monkeypatch.setattr("hola.telemetry.metric_text.MOST_KEPT", 3)
    text = Text(encode)
    for number in range(10):
        found = [Metric(name, "What runs.", "gauge") for name in ("one", f"info_{number}")]
        for metric in found:
            metric.samples.append(Sample(metric.name, {"number": metric.name}, number))
        assert text.render(Fixed(found)) == encode(Fixed(found))
    assert len(text._leads) == len(text._heads) == 3
    assert any(name == "one" for _about, name, _labels in text._leads)
