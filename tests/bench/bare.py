"""The limit: Flask with one route and nothing else, with the answer that hola gives there."""

from __future__ import annotations

import platform

import gunicorn
from flask import Flask, Response, jsonify

app = Flask(__name__)


@app.get("/version")
def version() -> Response:
    return jsonify(
        service="bare",
        version="0.1.0",
        commit="unknown",
        build_time="unknown",
        python=platform.python_version(),
        gunicorn=gunicorn.__version__,
    )
