"""Is what the other dashboards show complete? The books of the services and of the agent, and how the backends do."""

import table as t
from kit import Dashboard, Panel, explore, look, promql, quantile, rate, share, to

BY = "service_name, signal"
NAMED = "{{service_name}} {{signal}}"
UNACCOUNTED = " - ".join(
    f"sum by ({BY}) (telemetry_{part})"
    for part in ("enqueued_items_total", "exported_items_total", "dropped_items_total", "failed_items_total", "queue_items")
)
SIDECAR = to("service", "The sidecar", service_name="sidecar")


BOARD = Dashboard(
    "telemetry",
    "Is what the other dashboards show complete? Every loss is counted here, and the books have to balance.",
    {
        "Losses": [
            Panel(
                "Lost, by counter",
                (
                    "Everything that was lost within the time of a point, by the counter that says so; any of it is an alert with "
                    "a runbook of its own."
                ),
                [promql(f"{lost} or vector(0)", name) for name, lost in t.LOST.items()],
                [look('{__name__=~"telemetry_.*(dropped|failed|withheld).*"}')],
                t.COUNT,
                width=16,
                steps=t.ANY_LOSS,
                stacked=True,
                runbooks=(
                    "telemetry-dropped",
                    "telemetry-failed",
                    "loki-lines-withheld",
                    "loki-lines-failed",
                    "stdout-lines-dropped",
                    "sidecar-requests-refused",
                    "sidecar-items-rejected",
                    "sidecar-items-dropped",
                ),
            ),
            Panel(
                "Books that do not balance",
                (
                    "Items that the books of services and of the agent cannot account for: not 0 for long is a mistake in the "
                    "program, or segments that somebody took away."
                ),
                [
                    promql(
                        f"abs({UNACCOUNTED})",
                        NAMED,
                        instant=True,
                    ),
                    promql("abs(sidecar_unaccounted_items)", "agent {{signal}}", instant=True),
                ],
                [look("telemetry_enqueued_items_total"), look("sidecar_unaccounted_items")],
                t.COUNT,
                "bars",
                steps=((None, t.GOOD), (1000, t.BAD)),
                runbooks=("sidecar-items-unaccounted",),
            ),
        ],
        "Books of the services": [
            Panel(
                "Handed over",
                "Spans and lines that services hand over for export.",
                [promql(rate("telemetry_enqueued_items_total", "", BY), NAMED)],
                [SIDECAR, look("telemetry_enqueued_items_total")],
                t.RATE,
                stacked=True,
            ),
            Panel(
                "Acknowledged",
                (
                    "The share of what was handed over that the receiver has acknowledged: 1, or a little around it while batches "
                    "are on their way."
                ),
                [
                    promql(
                        f"{rate('telemetry_exported_items_total', '', BY)} / ({rate('telemetry_enqueued_items_total', '', BY)} > 0)", NAMED
                    )
                ],
                [SIDECAR, look("telemetry_exported_items_total")],
                t.RATIO,
                runbooks=("service-silent",),
            ),
            Panel(
                "Queues filled",
                "The share of the places before the exporters that are taken: at 100 % spans and lines are dropped.",
                [promql("max by (service_name, signal) (telemetry_queue_items / telemetry_queue_capacity_items)", NAMED)],
                [SIDECAR, to("logs")],
                t.RATIO,
                steps=t.USED,
            ),
        ],
        "Books of the agent": [
            Panel(
                "Received",
                "Spans and lines that arrive at the sidecar and are kept in its store.",
                [promql(rate("sidecar_received_items_total", "", "signal"), "{{signal}}")],
                [SIDECAR],
                t.RATE,
            ),
            Panel(
                "Delivered",
                "Spans, lines and data points that a backend has acknowledged.",
                [promql(rate("sidecar_delivered_items_total", "", "signal"), "{{signal}}")],
                [SIDECAR, look("sidecar_delivered_items_total")],
                t.RATE,
            ),
            Panel(
                "Given up",
                "What left the spool without being delivered, by reason; what was sampled away is no loss.",
                [promql(rate("sidecar_dropped_items_total", "", "signal, reason"), "{{signal}} {{reason}}")],
                [SIDECAR, look("sidecar_dropped_items_total")],
                t.RATE,
                steps=t.ANY_LOSS,
            ),
            Panel(
                "Waiting in the spool",
                "Items that wait for their backend: growing means that it is away or too slow.",
                [promql("sum by (signal) (sidecar_spool_items)", "{{signal}}")],
                [SIDECAR, look("sidecar_spool_items")],
                t.COUNT,
                runbooks=("destination-failing",),
            ),
            Panel(
                "Spool filled",
                "The share of the bytes that each spool may take: at 100 % its oldest items are given up.",
                [promql("max by (signal) (sidecar_spool_bytes / sidecar_spool_limit_bytes)", "{{signal}}")],
                [SIDECAR, look("sidecar_spool_bytes")],
                t.RATIO,
                steps=t.USED,
                runbooks=("spool-filling",),
            ),
            Panel(
                "Sent again",
                "Items that were sent once more after an attempt with an unknown end; the backend may have them twice.",
                [promql(rate("sidecar_redelivered_items_total", "", "signal"), "{{signal}}")],
                [SIDECAR, look("sidecar_redelivered_items_total")],
                t.RATE,
            ),
            Panel(
                "Refused at the door",
                "Requests to the sidecar that were refused as a whole, by reason, and items that were refused in others.",
                [
                    promql(rate("sidecar_refused_requests_total", "", "reason"), "{{reason}}"),
                    promql(rate("sidecar_rejected_items_total", "", "signal"), "rejected {{signal}}"),
                ],
                [SIDECAR, look("sidecar_refused_requests_total")],
                t.RATE,
                steps=t.ANY_LOSS,
            ),
            Panel(
                "Console's store filled",
                "The share of memory for the console's spans and lines that is taken: full is normal, the oldest leave.",
                [promql("max by (signal) (sidecar_store_bytes / sidecar_store_limit_bytes)", "{{signal}}")],
                [SIDECAR],
                t.RATIO,
                top=1,
            ),
            Panel(
                "Left the console's store",
                "Spans and lines that left the console's store for newer ones; the backends still have them.",
                [promql(rate("sidecar_evicted_items_total", "", "signal"), "{{signal}}")],
                [SIDECAR],
                t.RATE,
            ),
        ],
        "Prometheus and Alertmanager": [
            Panel(
                "Targets up",
                "The share of the targets of each job that Prometheus reaches.",
                [promql("avg by (job) (up)", "{{job}}", instant=True)],
                [to("runtime"), look("up")],
                t.RATIO,
                "bars",
                height=10,
                steps=t.UP,
                top=1,
                runbooks=(
                    "target-down",
                    "target-missing",
                ),
            ),
            Panel(
                "Series by job",
                "Samples of the last scrape: a job that grows without end has a label without bound.",
                [promql("sum by (job) (scrape_samples_post_metric_relabeling)", "{{job}}")],
                [look('topk(20, count by (__name__, job) ({__name__!=""}))'), to("runtime")],
                t.COUNT,
                height=10,
                stacked=True,
                runbooks=("high-cardinality",),
            ),
            Panel(
                "Scrapes and rules",
                "How long the slowest scrape of each job and the slowest group of rules take; more than 4 s and data is missing.",
                [
                    promql("max by (job) (scrape_duration_seconds)", "scrape of {{job}}"),
                    promql("max(prometheus_rule_group_last_duration_seconds)", "rules"),
                ],
                [look("prometheus_rule_group_last_duration_seconds")],
                t.SECONDS,
                height=10,
                steps=t.slower_than(4),
            ),
            Panel(
                "Series in memory",
                "Series that Prometheus keeps in its head, and exemplars.",
                [
                    promql("prometheus_tsdb_head_series", "series"),
                    promql("prometheus_tsdb_exemplar_exemplars_in_storage", "exemplars"),
                ],
                [look("prometheus_tsdb_head_series")],
                t.COUNT,
                width=6,
            ),
            Panel(
                "Watchdog",
                (
                    "Seconds since the sidecar heard the alert that always fires: if it grows, no alert reaches anybody. Years: "
                    "not since its start."
                ),
                [promql("time() - max(sidecar_alerts_watchdog_timestamp_seconds)", "since the watchdog", instant=True)],
                [to("overview"), look("alertmanager_notifications_total")],
                t.SECONDS,
                "number",
                width=4,
                runbooks=("watchdog", "watchdog-silent"),
            ),
            Panel(
                "Notifications",
                "Alerts that Prometheus sends to Alertmanager, notifications that it sends on, and alerts of which the sidecar is told.",
                [
                    promql("sum(rate(prometheus_notifications_sent_total[$__rate_interval]))", "to Alertmanager"),
                    promql(rate("alertmanager_notifications_total", 'integration=~"webhook|pagerduty|email"', "integration"), "by {{integration}}"),
                    promql(rate("sidecar_alerts_received_total", "", "status"), "at the sidecar, {{status}}"),
                ],
                [to("overview"), look("alertmanager_notifications_total")],
                t.RATE,
                width=7,
            ),
            Panel(
                "Notifications not delivered",
                "Alerts and notifications that did not get through: nobody is told.",
                [
                    promql("sum(rate(prometheus_notifications_errors_total[$__rate_interval]))", "to Alertmanager, failed"),
                    promql("sum(rate(prometheus_notifications_dropped_total[$__rate_interval]))", "to Alertmanager, dropped"),
                    promql(
                        rate("alertmanager_notifications_failed_total", 'integration=~"webhook|pagerduty|email"', "integration"),
                        "by {{integration}}, failed",
                    ),
                ],
                [to("overview"), look("alertmanager_notifications_failed_total")],
                t.RATE,
                width=7,
                steps=t.ANY_LOSS,
                runbooks=("notifications-failing",),
            ),
        ],
        "Loki and Jaeger": [
            Panel(
                "Lines that Loki takes",
                "Lines per second that Loki accepts: compare it with what the agent delivers.",
                [promql("sum(rate(loki_distributor_lines_received_total[$__rate_interval]))", "lines")],
                [to("logs"), look("loki_distributor_lines_received_total")],
                t.RATE,
            ),
            Panel(
                "Spans that Jaeger takes",
                "Spans per second that Jaeger accepts and keeps: compare it with what the agent delivers.",
                [
                    promql("sum(rate(otelcol_receiver_accepted_spans_total[$__rate_interval]))", "accepted"),
                    promql("sum(rate(otelcol_exporter_sent_spans_total[$__rate_interval]))", "kept"),
                ],
                [
                    explore("Its newest traces", "jaeger", queryType="search", service="gateway", limit=20),
                    look("otelcol_receiver_accepted_spans_total"),
                ],
                t.RATE,
            ),
            Panel(
                "p95 of Loki's answers",
                "How long Loki takes to accept and to find lines, by route.",
                [promql(quantile("loki_request_duration_seconds", 'route=~"loki_api_v1_.*|otlp_v1_logs"', "route"), "{{route}}")],
                [to("logs"), look("loki_request_duration_seconds_count")],
                t.SECONDS,
            ),
        ],
    },
)
