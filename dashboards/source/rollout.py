"""hola: rollout. The canary against the stable pods, told apart by the hash of their template."""

from __future__ import annotations

from dashboards.source.panels import GREEN, ORANGE, RED, SERVICE, choice, dashboard, stat, table, timeseries

HASH = "rollouts_pod_template_hash"  # Argo's pod label rollouts-pod-template-hash, taken over at the scrape
_EACH = f"{{{{{HASH}}}}}"
_HASHES = f"label_values(hola_build_info{{{SERVICE}}}, {HASH})"


def _success(hash_: str) -> str:
    """Only errors are 0 and no traffic is nothing, as in the canary's analysis."""
    of = f'CHOSEN, {HASH}="{hash_}"'
    return f"""
        (sum(rate(http_requests_total{{{of}, status!~"5.."}}[RATE])) or vector(0))
        / (sum(rate(http_requests_total{{{of}}}[RATE])) > 0)
    """


def _p95(hash_: str) -> str:
    buckets = f'http_request_duration_seconds_bucket{{CHOSEN, {HASH}="{hash_}"}}'
    return f"histogram_quantile(0.95, sum by (le) (rate({buckets}[RATE])))"


BOARD = dashboard(
    "rollout",
    "A canary of hola beside the stable pods, by pod template hash: traffic, errors, durations, configuration, deaths.",
    {
        "Canary against stable": [
            stat(
                "Success of the canary",
                "Share of the canary's answers that are not 5xx. Below 99 % a rollout waits, below 95 % it goes back.",
                "percentunit",
                {"canary": _success("$canary")},
                steps={0.95: ORANGE, 0.99: GREEN},
                below=RED,
                width=6,
                decimals=2,
            ),
            stat(
                "Success of the stable pods",
                "Share of the stable pods' answers that are not 5xx: what the canary has to be as good as.",
                "percentunit",
                {"stable": _success("$stable")},
                steps={0.95: ORANGE, 0.99: GREEN},
                below=RED,
                width=6,
                decimals=2,
            ),
            stat(
                "Slower than stable",
                "95th percentile of the canary over that of the stable pods. 1 is as fast, above 1.25 is too slow.",
                "none",
                {"times": f"{_p95('$canary')} / ({_p95('$stable')} > 0)"},
                steps={1.1: ORANGE, 1.25: RED},
                width=6,
                decimals=2,
            ),
            stat(
                "Share of the traffic",
                "Of all requests, those that the canary answers.",
                "percentunit",
                {
                    "share": f"""
                        sum(rate(http_requests_total{{CHOSEN, {HASH}="$canary"}}[RATE]))
                        / (sum(rate(http_requests_total{{CHOSEN}}[RATE])) > 0)
                    """
                },
                width=6,
            ),
        ],
        "By pod template hash": [
            timeseries(
                "Request rate",
                "Requests a second, by pod template hash. A hash that falls to nothing is gone.",
                "reqps",
                {_EACH: f"sum by ({HASH}) (rate(http_requests_total{{CHOSEN}}[RATE]))"},
                stacked=True,
            ),
            timeseries(
                "Error ratio",
                "Share of answers that are 5xx, by pod template hash.",
                "percentunit",
                {
                    _EACH: f"""
                        sum by ({HASH}) (rate(http_requests_total{{CHOSEN, status=~"5.."}}[RATE]))
                        / (sum by ({HASH}) (rate(http_requests_total{{CHOSEN}}[RATE])) > 0)
                    """
                },
                maximum=1,
            ),
            timeseries(
                "Duration p95",
                "95 % of the requests took no longer than this, by pod template hash."
                " The dots are single requests: each leads to its trace.",
                "s",
                {
                    _EACH: f"""
                        histogram_quantile(0.95, sum by (le, {HASH})
                        (rate(http_request_duration_seconds_bucket{{CHOSEN}}[RATE])))
                    """
                },
                exemplars=True,
            ),
            timeseries(
                "Workers ready",
                "Worker processes that serve, by pod template hash: how far the rollout is.",
                "short",
                {_EACH: f'sum by ({HASH}) (hola_workers{{CHOSEN, state="ready"}})'},
                stacked=True,
            ),
            timeseries(
                "Worker exits",
                "Processes that were killed, ran into the timeout or could not boot, by pod template hash.",
                "short",
                {
                    f"{_EACH} {{{{reason}}}}": f"""
                        sum by ({HASH}, reason)
                        (increase(hola_worker_exits_total{{CHOSEN, reason=~"killed|timeout|boot_failed"}}[RATE]))
                    """
                },
            ),
            timeseries(
                "Memory",
                "Resident memory of the largest worker, by pod template hash.",
                "bytes",
                {_EACH: f"max by ({HASH}) (hola_worker_resident_memory_bytes{{CHOSEN}})"},
            ),
            timeseries(
                "Configuration rejected",
                "Instances whose newest document is rejected, by hash: new code may refuse what old code took.",
                "short",
                {_EACH: f"sum by ({HASH}) (1 - hola_config_last_reload_successful{{CHOSEN}})"},
            ),
            timeseries(
                "CPU per request",
                "CPU seconds that a request costs, by pod template hash.",
                "s",
                {
                    _EACH: f"""
                        sum by ({HASH}) (rate(hola_worker_cpu_seconds_total{{CHOSEN}}[RATE]))
                        / (sum by ({HASH}) (rate(http_requests_total{{CHOSEN}}[RATE])) > 0)
                    """
                },
            ),
            timeseries(
                "Queue time p99",
                "How long requests waited for a thread, by pod template hash.",
                "s",
                {
                    _EACH: f"""
                        histogram_quantile(0.99, sum by (le, {HASH})
                        (rate(hola_request_queue_seconds_bucket{{CHOSEN}}[RATE])))
                    """
                },
                exemplars=True,
            ),
            table(
                "What runs",
                "Version and commit behind each hash, and how many instances have it.",
                {"instances": f"count by ({HASH}, version, revision) (hola_build_info{{CHOSEN}})"},
                unit="none",
            ),
        ],
    },
    # Sorted in opposite directions, so that two hashes stand against each other before anybody chooses.
    variables=(
        choice("stable", "Stable", _HASHES, None),
        choice("canary", "Canary", _HASHES, None, descending=True),
    ),
)
