"""Every alert: what it asks, how bad it is, what it says, and which dashboard shows it.

An alert's section in docs/runbook.md has the alert's name; nothing else has to be kept in step.
"""

from __future__ import annotations

from typing import Any

from dashboards.source.objectives import AVAILABILITY, LATENCY, PAGE, SLOW_SECONDS, TICKET, burning

Rule = dict[str, Any]

RUNBOOK = "docs/runbook.md"


def requests() -> list[Rule]:
    """What users feel."""
    failing = "{{ $labels.job }} answers {{ $value | humanizePercentage }} of its requests with 5xx"
    slow = f"{{{{ $value | humanizePercentage }}}} of the requests to {{{{ $labels.job }}}} take over {SLOW_SECONDS} s"
    return [
        _alert(
            "HolaErrorBudgetBurn",
            burning(AVAILABILITY, PAGE),
            ("critical", "2m"),
            "{{ $value | humanizePercentage }} of the requests to {{ $labels.job }} fail",
            description=f"{failing}. At this rate the month's error budget is gone within days.",
            board="service",
            slo=AVAILABILITY.slo,
            keep="5m",
        ),
        _alert(
            "HolaErrorBudgetBurnSlow",
            burning(AVAILABILITY, TICKET),
            ("warning", "15m"),
            "{{ $labels.job }} uses up its error budget before the month is over",
            description=f"{failing}, for hours or days. Nobody has to get up for it, but somebody has to look.",
            board="service",
            slo=AVAILABILITY.slo,
            keep="5m",
        ),
        _alert(
            "HolaLatencyBudgetBurn",
            burning(LATENCY, PAGE),
            ("critical", "2m"),
            slow,
            description=f"{slow}. At this rate the month's budget of slow answers is gone within days.",
            board="service",
            slo=LATENCY.slo,
            keep="5m",
        ),
        _alert(
            "HolaLatencyBudgetBurnSlow",
            burning(LATENCY, TICKET),
            ("warning", "15m"),
            "{{ $labels.job }} uses up its budget of slow answers before the month is over",
            description=f"{slow}, for hours or days. Nobody has to get up for it, but somebody has to look.",
            board="service",
            slo=LATENCY.slo,
            keep="5m",
        ),
    ]


def instances() -> list[Rule]:
    """Pods and their workers."""
    return [
        _alert(
            "HolaAbsent",
            'absent(up{job="hola"})',
            ("critical", "5m"),
            "Prometheus knows no instance of {{ $labels.job }}",
            description="No target of the job {{ $labels.job }} has existed for five minutes.",
            board="service",
        ),
        _alert(
            "HolaDown",
            'up{job="hola"} == 0',
            ("warning", "5m"),
            "{{ $labels.instance }} cannot be scraped",
            description="Prometheus has had no answer from {{ $labels.instance }} for five minutes.",
            board="workers",
        ),
        _alert(
            "HolaWorkersNotReady",
            _by_instance('hola_workers{job="hola", state="booting"}') + " > 0",
            ("warning", "5m"),
            "{{ $value }} workers of {{ $labels.instance }} do not get ready",
            description="{{ $labels.instance }} has had workers that are still booting for five minutes.",
            board="workers",
        ),
        _alert(
            "HolaWorkersDying",
            # 2.5 and not 3: increase() extrapolates, and three exits must never be a little less than three.
            "sum by (namespace, job, instance, reason) (\n"
            '  increase(hola_worker_exits_total{job="hola", reason=~"killed|timeout|boot_failed"}[15m])\n'
            ") > 2.5\n",
            ("warning", ""),
            "Workers of {{ $labels.instance }} die ({{ $labels.reason }})",
            description="{{ $labels.instance }} lost {{ $value | humanize }} workers within 15 minutes;"
            " reason {{ $labels.reason }}.",
            board="workers",
        ),
        _alert(
            "HolaWorkersSaturated",
            _by_instance('hola_worker_threads_busy{job="hola"}')
            + "\n/\n("
            + _by_instance('hola_worker_threads{job="hola"}')
            + " > 0)\n> 0.9\n",
            ("warning", "10m"),
            "{{ $labels.instance }} has hardly a free thread",
            description="{{ $value | humanizePercentage }} of the threads of {{ $labels.instance }} are busy;"
            " requests queue.",
            board="workers",
        ),
    ]


def configuration() -> list[Rule]:
    """The live document, and who the pod is."""
    return [
        _alert(
            "HolaConfigRejected",
            'hola_config_last_reload_successful{job="hola"} == 0',
            ("warning", "5m"),
            "{{ $labels.instance }} rejects its live document",
            description="The newest document was not accepted; {{ $labels.instance }} goes on with the last good one.",
            board="configuration",
        ),
        _alert(
            "HolaConfigSkewed",
            # Ten minutes: a ConfigMap may take two to reach every node. A pod that is held back on purpose is no skew.
            "count by (namespace, job) (\n"
            '  count_values by (namespace, job) ("hash",\n'
            '    hola_config_revision_hash{job="hola"}\n'
            '    unless on (namespace, job, instance) hola_config_held{job="hola"} == 1\n'
            "  )\n"
            ") > 1\n",
            ("warning", "10m"),
            "Instances of {{ $labels.job }} run {{ $value }} different live documents",
            description="The instances of {{ $labels.job }} have disagreed for ten minutes.",
            board="configuration",
        ),
        _alert(
            "HolaConfigWorkersBehind",
            _by_instance('hola_config_workers{job="hola", state="behind"}') + " > 0",
            ("warning", "5m"),
            "{{ $value }} workers of {{ $labels.instance }} run an old live document",
            description="Workers of {{ $labels.instance }} have not followed the newest revision for five minutes.",
            board="configuration",
        ),
        _alert(
            "HolaConfigSourceLost",
            'hola_config_source_up{job="hola"} == 0',
            ("warning", "5m"),
            "{{ $labels.instance }} cannot read its configuration source",
            description="{{ $labels.instance }} goes on with the last good document and sees no change.",
            board="configuration",
        ),
        _alert(
            "HolaConfigSourceStale",
            'hola_config_source_age_seconds{job="hola"} > 120\n'
            'and on (namespace, job, instance) hola_config_source_up{job="hola"} == 1\n',
            ("warning", "5m"),
            "{{ $labels.instance }} has not looked at its configuration for {{ $value | humanizeDuration }}",
            description="{{ $labels.instance }} calls its source good but has stopped reading it;"
            " it will not see a change.",
            board="configuration",
        ),
        _alert(
            "HolaIdentityWrong",
            'hola_aws_identity_ok{job="hola"} == 0',
            ("warning", "5m"),
            "{{ $labels.instance }} is not who it should be in AWS ({{ $labels.reason }})",
            description="{{ $labels.instance }} got its identity from {{ $labels.provider }};"
            " reason {{ $labels.reason }}.",
            board="configuration",
        ),
    ]


def telemetry() -> list[Rule]:
    """What is lost on its way to those who would look."""
    return [
        _alert(
            "HolaLogLinesDropped",
            _by_instance('rate(hola_log_lines_dropped_total{job="hola"}[5m])') + " > 0",
            ("warning", "15m"),
            "{{ $labels.instance }} drops log lines",
            description="{{ $labels.instance }} drops {{ $value | humanize }} lines a second,"
            " so that no request waits for them.",
            board="workers",
        ),
        _alert(
            "HolaSpansDropped",
            _by_instance('rate(hola_spans_dropped_total{job="hola"}[5m])') + " > 0",
            ("info", "15m"),
            "{{ $labels.instance }} drops spans",
            description="{{ $labels.instance }} drops {{ $value | humanize }} spans a second; its traces have gaps.",
            board="workers",
        ),
        _alert(
            "HolaMetricsDegraded",
            _by_instance('hola_metrics_degraded{job="hola"}') + " > 0\n"
            "or\n" + _by_instance('increase(hola_metrics_file_errors_total{job="hola"}[15m])') + " > 0\n",
            ("warning", "5m"),
            "The metrics of {{ $labels.instance }} are incomplete",
            description="{{ $labels.instance }} cannot keep or read all of its metric files;"
            " what it shows is too little.",
            board="workers",
        ),
    ]


def _by_instance(expression: str) -> str:
    return f"sum by (namespace, job, instance) ({expression})"


def _alert(
    name: str,
    expression: str,
    severity_and_patience: tuple[str, str],
    summary: str,
    *,
    description: str,
    board: str,
    slo: str = "",
    keep: str = "",
) -> Rule:
    severity, patience = severity_and_patience
    chosen = "var-namespace={{$labels.namespace}}&var-job={{$labels.job}}"
    if "$labels.instance" in summary:
        chosen += "&var-instance={{$labels.instance}}"
    return {
        "alert": name,
        "expr": expression,
        **({"for": patience} if patience else {}),
        **({"keep_firing_for": keep} if keep else {}),
        "labels": {"severity": severity} | ({"slo": slo} if slo else {}),
        "annotations": {
            "summary": summary,
            "description": description,
            "runbook_url": f"{RUNBOOK}#{name.lower()}",
            "dashboard_url": f"/d/hola-{board}?{chosen}",
        },
    }
