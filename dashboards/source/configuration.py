"""hola: configuration. Which live document runs where, how it got there, and how old the secrets are."""

from __future__ import annotations

from dashboards.source.panels import GREEN, ORANGE, RED, dashboard, stat, table, timeseries

_ACCEPTED = {0: "rejected", 1: "accepted"}
_UP = {0: "lost", 1: "up"}

BOARD = dashboard(
    "configuration",
    "The live document of hola: what every pod and worker runs, what was rejected, how fresh source and secrets are.",
    {
        "Now": [
            stat(
                "Last document",
                "Rejected as long as any instance's newest document is invalid; it runs the last good one meanwhile.",
                "short",
                {"last document": "min(hola_config_last_reload_successful{CHOSEN})"},
                steps={1: GREEN},
                below=RED,
                words=_ACCEPTED,
            ),
            stat(
                "Revisions in force",
                "Different documents that instances run. More than one for minutes: HolaConfigSkewed.",
                "short",
                {"revisions": 'count(count_values("hash", hola_config_revision_hash{CHOSEN}))'},
                steps={2: ORANGE},
            ),
            stat(
                "Workers behind",
                "Workers that do not run their instance's newest revision yet.",
                "short",
                {"behind": 'sum(hola_config_workers{CHOSEN, state="behind"})'},
                steps={1: ORANGE},
            ),
            stat(
                "Source",
                "Lost as long as any instance cannot read the directory with the document.",
                "short",
                {"source": "min(hola_config_source_up{CHOSEN})"},
                steps={1: GREEN},
                below=RED,
                words=_UP,
            ),
            stat(
                "Source age",
                "Longest time since an instance looked at its source.",
                "s",
                {"age": "max(hola_config_source_age_seconds{CHOSEN})"},
                steps={60: ORANGE, 120: RED},
            ),
            stat(
                "Last acceptance",
                "Time since any instance took on a document.",
                "s",
                {"ago": "min(time() - (hola_config_last_reload_success_timestamp_seconds{CHOSEN} > 0))"},
            ),
        ],
        "Convergence": [
            timeseries(
                "Generation",
                "Documents taken on since boot. Lines that part and stay apart are instances that do not follow.",
                "short",
                {"{{instance}}": "max by (instance) (hola_config_generation{CHOSEN})"},
            ),
            timeseries(
                "Workers by what they run",
                "Workers that run the newest revision of their instance, and workers behind it.",
                "short",
                {"{{state}}": "sum by (state) (hola_config_workers{CHOSEN})"},
                stacked=True,
            ),
            timeseries(
                "Time to apply",
                "From a change that was seen to every worker of the instance running it."
                " The dots are single changes, each with its trace.",
                "s",
                {
                    f"p{share * 100:g}": f"histogram_quantile({share}, sum by (le)"
                    " (rate(hola_config_apply_duration_seconds_bucket{CHOSEN}[RATE])))"
                    for share in (0.5, 0.99)
                },
                exemplars=True,
            ),
            table(
                "Revisions",
                "The revision that every instance runs and where it came from.",
                {"revision": "max by (instance, revision, origin) (hola_config_info{CHOSEN})"},
            ),
        ],
        "Changes": [
            timeseries(
                "Reloads by result",
                "Changes of content that were seen: applied, rejected, or unreadable.",
                "short",
                {"{{result}}": "sum by (result) (increase(hola_config_reloads_total{CHOSEN}[RATE]))"},
            ),
            timeseries(
                "Rejected by instance",
                "1 while an instance's newest document is rejected.",
                "bool_yes_no",
                {"{{instance}}": "1 - min by (instance) (hola_config_last_reload_successful{CHOSEN})"},
                maximum=1,
            ),
            timeseries(
                "Held back and waiting for a restart",
                "Instances that a rollout of the document keeps on the one before, and settings that the document wants"
                " otherwise and only a restart changes.",
                "short",
                {
                    "held back": "sum(hola_config_held{CHOSEN})",
                    "restart required": "sum(hola_config_restart_required{CHOSEN} > bool 0)",
                },
            ),
        ],
        "Freshness": [
            timeseries(
                "Source age by instance",
                "Seconds since the source was last read. It is read every second or so; above two minutes while the"
                " source is up: HolaConfigSourceStale.",
                "s",
                {"{{instance}}": "max by (instance) (hola_config_source_age_seconds{CHOSEN})"},
                threshold=120,
            ),
            timeseries(
                "Age of secrets",
                "Time since each secret's file was written, the oldest of all instances.",
                "s",
                {"{{name}}": "max by (name) (hola_secret_age_seconds{CHOSEN})"},
            ),
            timeseries(
                "Spread of secrets",
                "How much older a secret is in one instance than in another: a rotation that has not reached all.",
                "s",
                {
                    "{{name}}": """
                        max by (name) (hola_secret_age_seconds{CHOSEN})
                        - min by (name) (hola_secret_age_seconds{CHOSEN})
                    """
                },
            ),
            table(
                "AWS identity",
                "Who each instance is in AWS: 1 the expected role, 0 not. Empty where no role is expected.",
                {"identity": "max by (instance, provider, reason) (hola_aws_identity_ok{CHOSEN})"},
                unit="bool_yes_no",
            ),
        ],
    },
)
