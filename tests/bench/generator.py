"""A small load generator for machines without wrk. `python -m tests.bench.generator URL SECONDS CONNECTIONS`

It takes more processor time than the service that it asks, so compare its figures only with its own.
"""

from __future__ import annotations

import http.client
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit


def ask_until(deadline: float, host: str, path: str) -> tuple[list[float], int]:
    """(seconds of each good answer, number of failures) on one connection."""
    connection = http.client.HTTPConnection(host, timeout=10)
    took, failed = [], 0
    while (started := time.monotonic()) < deadline:
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            failed += 1
            connection.close()
            continue
        took.append(time.monotonic() - started)
        failed += answer.status != 200
    connection.close()
    return took, failed


def main(url: str, seconds: float, connections: int) -> None:
    address, began = urlsplit(url), time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        asking = [pool.submit(ask_until, began + seconds, address.netloc, address.path) for _ in range(connections)]
        shares = [each.result() for each in asking]
    took = [duration for durations, _ in shares for duration in durations]
    percentiles = statistics.quantiles(took, n=100)
    load = {
        "requests": len(took),
        "requests_a_second": len(took) / (time.monotonic() - began),
        "p50_seconds": percentiles[49],
        "p99_seconds": percentiles[98],
        "failed": sum(failed for _, failed in shares),
    }
    print(json.dumps(load))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
