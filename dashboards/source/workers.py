"""hola: workers. How full the processes behind the service are, how they end, and what is lost on the way out."""

from __future__ import annotations

from dashboards.source.panels import GREEN, ORANGE, RED, dashboard, stat, timeseries


def _quantiles(histogram: str, shares: tuple[float, ...]) -> dict[str, str]:
    return {
        f"p{share * 100:g}": f"histogram_quantile({share}, sum by (le) (rate({histogram}_bucket{{CHOSEN}}[RATE])))"
        for share in shares
    }


BOARD = dashboard(
    "workers",
    "The worker processes of hola: how full they are, how they end, what they use, and what telemetry is lost.",
    {
        "Now": [
            stat(
                "Workers ready",
                "Worker processes that serve, over all instances chosen.",
                "short",
                {"ready": 'sum(hola_workers{CHOSEN, state="ready"})'},
                steps={1: GREEN},
                below=RED,
            ),
            stat(
                "Workers booting",
                "Worker processes on their way up. For more than a few seconds: HolaWorkersNotReady.",
                "short",
                {"booting": 'sum(hola_workers{CHOSEN, state="booting"})'},
                steps={1: ORANGE},
            ),
            stat(
                "Fullest instance",
                "The largest share of an instance's threads that is busy. Above 90 % for ten minutes:"
                " HolaWorkersSaturated.",
                "percentunit",
                {
                    "fullest": """
                        max(sum by (instance) (hola_worker_threads_busy{CHOSEN})
                        / (sum by (instance) (hola_worker_threads{CHOSEN}) > 0))
                    """
                },
                steps={0.7: ORANGE, 0.9: RED},
            ),
            stat(
                "Workers died",
                "Worker processes that were killed, ran into the timeout or could not boot within the last 15 minutes.",
                "short",
                {
                    "died": 'sum(increase(hola_worker_exits_total{CHOSEN, reason=~"killed|timeout|boot_failed"}[15m]))',
                },
                steps={0.5: ORANGE, 2.5: RED},
                decimals=0,
            ),
            stat(
                "Lines and spans lost",
                "Log lines and spans a second that nobody would take.",
                "ops",
                {
                    "lost": """
                        sum(rate(hola_log_lines_dropped_total{CHOSEN}[RATE]))
                        + sum(rate(hola_spans_dropped_total{CHOSEN}[RATE]))
                    """
                },
                steps={0.001: ORANGE},
            ),
            stat(
                "Metrics degraded",
                "Instances that have no room for all of their metrics and show less than there is.",
                "short",
                {"degraded": "sum(hola_metrics_degraded{CHOSEN})"},
                steps={1: RED},
            ),
        ],
        "Saturation": [
            timeseries(
                "Busy threads",
                "Share of an instance's threads that serve a request now. At 100 % new requests queue.",
                "percentunit",
                {
                    "{{instance}}": """
                        sum by (instance) (hola_worker_threads_busy{CHOSEN})
                        / (sum by (instance) (hola_worker_threads{CHOSEN}) > 0)
                    """
                },
                maximum=1,
                threshold=0.9,
            ),
            timeseries(
                "Queue time",
                "How long a request that had arrived waited for a thread. Milliseconds are free room, seconds are none."
                " The dots are single requests: each leads to its trace.",
                "s",
                _quantiles("hola_request_queue_seconds", (0.5, 0.95, 0.99)),
                exemplars=True,
            ),
            timeseries(
                "Requests in progress",
                "Requests that are being answered now.",
                "short",
                {"{{instance}}": "sum by (instance) (http_requests_in_progress{CHOSEN})"},
            ),
            timeseries(
                "Open connections",
                "Connections that clients hold open, idle ones included.",
                "short",
                {"{{instance}}": "sum by (instance) (hola_worker_connections{CHOSEN})"},
            ),
            timeseries(
                "Busy threads by worker",
                "Threads that serve a request, by worker slot. One full slot beside empty ones: something hangs there.",
                "short",
                {"{{instance}} slot {{slot}}": "max by (instance, slot) (hola_worker_threads_busy{CHOSEN})"},
            ),
            timeseries(
                "Open file descriptors",
                "By worker slot. A line that only rises is a leak.",
                "short",
                {"{{instance}} slot {{slot}}": "max by (instance, slot) (hola_worker_open_fds{CHOSEN})"},
            ),
        ],
        "Life and death": [
            timeseries(
                "Workers by state",
                "Ready, booting, or finishing their last requests.",
                "short",
                {"{{state}}": "sum by (state) (hola_workers{CHOSEN})"},
                stacked=True,
            ),
            timeseries(
                "Worker exits by reason",
                "Processes that ended. recycled, reloaded and stopped are meant, killed, timeout and boot_failed not.",
                "short",
                {"{{reason}}": "sum by (reason) (increase(hola_worker_exits_total{CHOSEN}[RATE]))"},
            ),
            timeseries(
                "Instances",
                "Instances that answer scrapes.",
                "short",
                {"{{job}} {{namespace}}": "sum by (namespace, job) (up{CHOSEN})"},
            ),
        ],
        "Use": [
            timeseries(
                "Memory by worker",
                "Resident memory by worker slot, what workers share counted in each.",
                "bytes",
                {"{{instance}} slot {{slot}}": "max by (instance, slot) (hola_worker_resident_memory_bytes{CHOSEN})"},
            ),
            timeseries(
                "CPU by worker",
                "CPU seconds a second by worker slot. 1 is a whole core, and all that one Python process can use.",
                "none",
                {
                    "{{instance}} slot {{slot}}": """
                        sum by (instance, slot) (rate(hola_worker_cpu_seconds_total{CHOSEN}[RATE]))
                    """
                },
            ),
            timeseries(
                "CPU per request",
                "CPU seconds that a request costs. It rises where code got slower, whatever the traffic.",
                "s",
                {
                    "{{instance}}": """
                        sum by (instance) (rate(hola_worker_cpu_seconds_total{CHOSEN}[RATE]))
                        / (sum by (instance) (rate(http_requests_total{CHOSEN}[RATE])) > 0)
                    """
                },
            ),
        ],
        "Telemetry": [
            timeseries(
                "Log lines by level",
                "Lines a second, by level.",
                "ops",
                {"{{level}}": "sum by (level) (rate(hola_log_lines_total{CHOSEN}[RATE]))"},
                stacked=True,
            ),
            timeseries(
                "Spans exported",
                "Spans a second that the collector took. None without a collector.",
                "ops",
                {"{{instance}}": "sum by (instance) (rate(hola_spans_exported_total{CHOSEN}[RATE]))"},
            ),
            timeseries(
                "Telemetry lost",
                "What was dropped or shortened, so that no request waits for whoever should take it.",
                "ops",
                {
                    "log lines dropped": "sum(rate(hola_log_lines_dropped_total{CHOSEN}[RATE]))",
                    "log lines truncated": "sum(rate(hola_log_lines_truncated_total{CHOSEN}[RATE]))",
                    "spans dropped": "sum(rate(hola_spans_dropped_total{CHOSEN}[RATE]))",
                    "metric files unreadable": "sum(rate(hola_metrics_file_errors_total{CHOSEN}[RATE]))",
                },
            ),
        ],
    },
)
