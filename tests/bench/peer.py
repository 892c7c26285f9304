"""The usual assembly: Flask with each library's own way to metrics, traces and log lines.

Loaded with the packages of requirements-peer.txt, most of which hola's own environment does not have.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator"

from __future__ import annotations

import platform
import time

import gunicorn
import structlog
from flask import Flask, Response, g, jsonify, request
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_flask_exporter.multiprocess import GunicornInternalPrometheusMetrics

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ],
    cache_logger_on_first_use=True,
)
provider = TracerProvider()  # its sampler and its collector come from the environment
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)

log = structlog.get_logger()
app = Flask(__name__)
FlaskInstrumentor().instrument_app(app)
GunicornInternalPrometheusMetrics(app)


@app.before_request
def begin() -> None:
    context = trace.get_current_span().get_span_context()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(trace_id=f"{context.trace_id:032x}", span_id=f"{context.span_id:016x}")
    g.started = time.perf_counter()


@app.after_request
def end(response: Response) -> Response:
    log.info(
        "request_finished",
        method=request.method,
        route=str(request.url_rule),
        path=request.path,
        status=response.status_code,
        duration_seconds=round(time.perf_counter() - g.started, 6),
        client=request.remote_addr,
        user_agent=request.headers.get("User-Agent", ""),
    )
    return response


@app.get("/version")
def version() -> Response:
    return jsonify(
        service="peer",
        version="0.1.0",
        commit="unknown",
        build_time="unknown",
        python=platform.python_version(),
        gunicorn=gunicorn.__version__,
    )
