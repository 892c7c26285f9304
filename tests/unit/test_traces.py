"""Spans: whose ratio decides, whose trace is continued, and what they say of where they come from."""

from __future__ import annotations

import random

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.trace import (
    SpanKind,
    StatusCode,
    TracerProvider,
    get_current_span,
    set_span_in_context,
    use_span,
)

from hola import settings
from hola.telemetry import otlp, traces
from hola.telemetry.traces import Tracing, resource_attributes
from tests.unit.conftest import Lines
from tests.unit.observed_span import Spans, values

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def recorded_share(ratio: float, flag: str) -> float:
    """The share recorded of 1000 requests whose callers say `flag`."""
    tracing, ids = Tracing(None, lambda: ratio), random.Random(12)
    headers = [{"traceparent": f"00-{ids.getrandbits(128):032x}-00f067aa0ba902b7-{flag}"} for _ in range(1000)]
    spans = [tracing.start_server_span(each, 0) for each in headers]
    return sum(span.is_recording() for span in spans) / 1000


@pytest.mark.parametrize("flag", ["00", "01"])
def test_the_own_ratio_decides_whatever_the_caller_says(flag: str) -> None:
    assert recorded_share(0.0, flag) == 0
    assert recorded_share(1.0, flag) == 1
    assert recorded_share(0.25, flag) == pytest.approx(0.25, abs=0.05)


def test_pods_with_the_same_ratio_agree_on_a_trace() -> None:
    assert recorded_share(0.5, "01") == recorded_share(0.5, "00")


def test_the_ratio_may_change_between_two_requests() -> None:
    ratio = 0.0
    tracing = Tracing(None, lambda: ratio)
    assert not tracing.start_server_span({}, 0).is_recording()
    ratio = 1.0
    assert tracing.start_server_span({}, 0).is_recording()


def test_an_inner_span_follows_the_outer_one_even_if_the_ratio_falls_meanwhile() -> None:
    ratio = 1.0
    tracing = Tracing(None, lambda: ratio)
    outer = tracing.start_server_span({}, 0)
    ratio = 0.0
    assert tracing.get_tracer("shop").start_span("inner", set_span_in_context(outer)).is_recording()


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_callers_trace_is_continued_also_by_spans_that_are_not_recorded(ratio: float) -> None:
    tracing = Tracing(None, lambda: ratio)
    span = tracing.start_server_span({"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}, 0)
    assert f"{span.get_span_context().trace_id:032x}" == TRACE_ID
    with use_span(span):
        version, trace_id, span_id, flags = traces.inject({})["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE_ID, f"0{ratio:.0f}")
    assert span_id == f"{span.get_span_context().span_id:016x}" != "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "header", ["", "00-0-0-01", "ff-" + "f" * 32 + "-" + "f" * 16 + "-01", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"]
)
def test_a_broken_traceparent_begins_a_new_trace(header: str) -> None:
    spans = Spans()
    span = Tracing(spans, lambda: 1.0).start_server_span({"traceparent": header}, 0)
    span.end()
    assert span.get_span_context().is_valid
    assert spans.found[0].parent_span_id == b""


@pytest.mark.parametrize("state", ["=x", "S3NT1NEL", "a=b,a=c", ",".join(f"k{n}=v" for n in range(40)), "x" * 8000])
@pytest.mark.parametrize("parent", [f"00-{TRACE_ID}-00f067aa0ba902b7-01", "x" * 8000])
def test_a_strangers_odd_headers_write_no_line(lines: Lines, parent: str, state: str) -> None:
    Tracing(None, lambda: 1.0).start_server_span({"traceparent": parent, "tracestate": state}, 0)
    assert lines.raw == []


def test_a_strangers_baggage_does_not_travel_on() -> None:
    span = Tracing(None, lambda: 1.0).start_server_span({"baggage": "user=S3NT1NEL"}, 0)
    with use_span(span):
        assert traces.inject({}).keys() == {"traceparent"}


def test_a_callers_state_travels_on() -> None:
    spans = Spans()
    headers = {"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01", "tracestate": "vendor=abc"}
    span = Tracing(spans, lambda: 1.0).start_server_span(headers, 0)
    with use_span(span):
        assert traces.inject({})["tracestate"] == "vendor=abc"
    span.end()
    assert (spans.found[0].trace_state, spans.found[0].parent_span_id.hex()) == ("vendor=abc", "00f067aa0ba902b7")
    assert spans.found[0].flags == 0x301


def test_what_an_application_sets_on_the_server_span_is_exported_masked() -> None:
    spans = Spans()
    tracing = Tracing(spans, lambda: 1.0)
    span = tracing.start_server_span({}, 1)
    with use_span(span, record_exception=False, set_status_on_exception=False):
        current = get_current_span()
        current.set_attribute("cart.items", 3)
        current.set_attributes({"api_token": "S3NT1NEL", "note": "password=S3NT1NEL", "ok": True, "share": 0.5})
        current.set_attribute("sizes", ["s", "m"])
        current.add_event("cache missed", {"key": "a"}, 7)
        current.record_exception(ValueError("token=S3NT1NEL"))
        current.set_status(StatusCode.ERROR)
        current.add_link(tracing.start_server_span({}, 0).get_span_context(), {"why": "batch"})
        current.update_name("GET /cart")
    span.end(5)
    (found,) = spans.found
    assert values(found.attributes) == {
        "cart.items": 3,
        "api_token": "***",
        "note": "***",
        "ok": True,
        "share": 0.5,
        "sizes": ["s", "m"],
    }
    assert [event.name for event in found.events] == ["cache missed", "exception"]
    assert (found.events[0].time_unix_nano, found.status.code, found.name) == (7, 2, "GET /cart")
    assert (found.start_time_unix_nano, found.end_time_unix_nano, len(found.links)) == (1, 5, 1)
    assert b"S3NT1NEL" not in found.SerializeToString()


def test_an_inner_span_of_the_sdk_is_the_server_spans_child() -> None:
    spans = Spans()
    tracing = Tracing(spans, lambda: 1.0)
    outer = tracing.start_server_span({}, 0)
    with use_span(outer), tracing.get_tracer("shop").start_as_current_span("query", kind=SpanKind.CLIENT) as inner:
        inner.set_attribute("db.system.name", "postgresql")
        inner.add_event("retry", {"n": 1})
        assert not traces.inject({})["traceparent"].endswith(f"{outer.span_id}-01")
    (found,) = spans.found
    assert (found.name, found.kind, found.parent_span_id.hex()) == ("query", 3, outer.span_id)
    assert found.trace_id.hex() == outer.trace_id
    assert (values(found.attributes), found.events[0].name) == ({"db.system.name": "postgresql"}, "retry")


def test_inner_spans_of_what_is_not_sampled_are_not_recorded() -> None:
    spans = Spans()
    tracing = Tracing(spans, lambda: 0.0)
    with use_span(tracing.start_server_span({}, 0)), tracing.get_tracer("shop").start_as_current_span("query"):
        pass
    assert spans.found == []


def test_it_can_stand_behind_opentelemetrys_api() -> None:
    """What instrumentation libraries and copied code ask: trace.get_tracer."""
    assert isinstance(Tracing(None, lambda: 1.0), TracerProvider)


def test_the_resource_names_the_pod_and_each_process_apart() -> None:
    environ = {
        "POD_NAME": "pod-1",
        "POD_NAMESPACE": "shop",
        "OTEL_RESOURCE_ATTRIBUTES": "team=a%20b,service.name=forged,broken",
    }
    first, second = (resource_attributes(settings.load(environ)) for _ in range(2))
    assert first.items() >= {"service.name": "hola", "k8s.pod.name": "pod-1", "k8s.namespace.name": "shop"}.items()
    assert (first["team"], "broken" in first) == ("a b", False)
    assert first["service.instance.id"] != second["service.instance.id"]


def test_a_span_is_what_protobufs_own_encoder_would_write() -> None:
    numbers = {"a": 0, "b": -1, "c": 2**62, "d": 300, "e": 1.5, "f": "é" * 200, "g": "x" * 70_000, "h": ""}
    data = otlp.span(b"t" * 16, b"s" * 8, b"", otlp.SERVER, "n" * 200, (1, 2**63), numbers, rest=b"")
    message = ScopeSpans.FromString(data)
    assert message.SerializeToString(deterministic=True) == data
    assert values(message.spans[0].attributes) == {**numbers, "g": "x" * 8192}


def test_a_request_groups_spans_by_scope_under_one_resource() -> None:
    one, two = (otlp.span(b"t" * 16, b"s" * 8, b"", 1, name, (1, 2), {}) for name in "ab")
    message = ExportTraceServiceRequest.FromString(
        otlp.request({"service.name": "hola"}, [("x", one), ("y", two), ("x", two)])
    )
    (resource,) = message.resource_spans
    assert values(resource.resource.attributes) == {"service.name": "hola"}
    assert {s.scope.name: [span.name for span in s.spans] for s in resource.scope_spans} == {
        "x": ["a", "b"],
        "y": ["b"],
    }


@pytest.mark.parametrize("number", [0, 1, 300, 2**33])
def test_rejected_spans_are_read_from_the_answer(number: int) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=number, error_message="too old")
    answer = ExportTraceServiceResponse(partial_success=partial).SerializeToString()
    assert otlp.rejected_spans(answer) == number
    for broken in (b"", b"OK", b"\xff" * 9, answer[:-1]):
        assert otlp.rejected_spans(broken) >= 0
