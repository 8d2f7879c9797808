"""Where an operator begins: are the promises kept, and if not, where?"""

import table as t
from kit import Dashboard, Panel, promql, quantile, rate, share, to

REQUESTS = "http_server_request_duration_seconds"
OURS = 'service_name!=""'  # Jaeger has histograms of the same name about itself
BY = "service_name"
THIS = [to("service", "This service", service="${__field.labels.service_name}")]

BOARD = Dashboard(
    "overview",
    "Are the promises kept? Objectives and their budgets first, then each service.",
    {
        "Objectives": [
            Panel(
                "Error budget left",
                "What is left of each objective's error budget of 28 days; below 0 the promise is broken, and docs/budget-policy.md says what follows.",
                [promql("slo:period_error_budget_remaining:ratio", "{{sloth_service}} {{sloth_slo}}", instant=True)],
                [to("journey")],
                t.RATIO,
                "bars",
                height=12,
                steps=t.BUDGET_LEFT,
                top=1,
            ),
            Panel(
                "Burn rate",
                "How fast budgets are spent now: at 1 a budget lasts 28 days; above the red line for an hour somebody is paged.",
                [promql("slo:current_burn_rate:ratio", "{{sloth_service}} {{sloth_slo}}")],
                [to("journey")],
                t.TIMES,
                height=12,
                steps=t.BURN,
            ),
            Panel(
                "Objectives",
                "Each promise, what is left of its budget of 28 days, and how fast that is spent.",
                [
                    promql("sum by (sloth_service, sloth_slo) (slo:objective:ratio)", instant=True),
                    promql("sum by (sloth_service, sloth_slo) (1 - slo:period_burn_rate:ratio * on (sloth_id) slo:error_budget:ratio)", instant=True),
                    promql("sum by (sloth_service, sloth_slo) (slo:period_burn_rate:ratio)", instant=True),
                ],
                [to("journey")],
                t.RATIO,
                "table",
                height=12,
                columns={
                    "sloth_service": ("Service", ""),
                    "sloth_slo": ("Objective", ""),
                    "Value #A": ("Promised", "percentunit"),
                    "Value #B": ("Kept", "percentunit"),
                    "Value #C": ("Budget spent", "percentunit"),
                },
            ),
        ],
        "Alerts": [
            Panel(
                "Pages",
                "Alerts that want a person now.",
                [promql('count(ALERTS{alertstate="firing", severity="page"}) or vector(0)', "pages", instant=True)],
                [to("journey")],
                t.COUNT,
                "number",
                width=3,
                height=5,
                steps=t.NONE_WANTED,
            ),
            Panel(
                "Tickets",
                "Alerts that want a person on a working day.",
                [promql('count(ALERTS{alertstate="firing", severity="ticket"}) or vector(0)', "tickets", instant=True)],
                [to("telemetry")],
                t.COUNT,
                "number",
                width=3,
                height=5,
                steps=((None, t.GOOD), (1, t.WARNING)),
            ),
            Panel(
                "Firing",
                "What fires now; the watchdog always does, and its absence is the alarm.",
                [promql('sum by (alertname, severity, service_name) (ALERTS{alertstate="firing"})', instant=True)],
                [to("telemetry")],
                t.COUNT,
                "table",
                width=10,
                height=5,
                columns={"alertname": ("Alert", ""), "severity": ("Severity", ""), "service_name": ("Service", "")},
            ),
            Panel(
                "Prober",
                "Whether the last run of the prober's journey through the public address succeeded: 1 it did, 0 it did not.",
                [promql("prober_success", "last run", instant=True)],
                [to("journey")],
                t.STATE,
                "number",
                width=4,
                height=5,
                steps=t.UP,
            ),
            Panel(
                "Telemetry lost",
                "Spans, lines and requests of telemetry that were lost within the last hour, of every counter of losses together.",
                [promql(" + ".join(f"({lost} or vector(0))" for lost in t.LOST_WITHIN_AN_HOUR), "lost", instant=True)],
                [to("telemetry")],
                t.COUNT,
                "number",
                width=4,
                height=5,
                steps=t.NONE_WANTED,
            ),
        ],
        "Services": [
            Panel(
                "Requests per second",
                "Requests that each service answers; the gateway's are those of people, the others' come from it and from each other.",
                [promql(rate(f"{REQUESTS}_count", OURS, BY), "{{service_name}}")],
                [to("service", service="gateway")],
                t.REQUESTS,
                colours=t.SERVICES,
                each=THIS,
            ),
            Panel(
                "Error ratio",
                "The share of requests that end with 5xx; above the line it is more than the availability objective allows.",
                [
                    promql(
                        share(rate(f"{REQUESTS}_count", f'{OURS}, {t.FAILED}', BY), rate(f"{REQUESTS}_count", OURS, BY)),
                        "{{service_name}}",
                    )
                ],
                [to("logs", level="error")],
                t.RATIO,
                steps=t.ERRORS,
                colours=t.SERVICES,
                each=THIS,
            ),
            Panel(
                "p95",
                "The time within which 95 of 100 requests are answered; a dot is one request and leads to its trace.",
                [promql(quantile(REQUESTS, OURS, BY), "{{service_name}}", exemplars=True)],
                [to("service", service="gateway")],
                t.SECONDS,
                colours=t.SERVICES,
                each=THIS,
            ),
            Panel(
                "Up",
                "Which of our processes Prometheus reaches: 1 it does, 0 it does not.",
                [promql(f"up{{{OURS}}}", "{{service_name}}", instant=True)],
                [to("runtime")],
                t.STATE,
                "number",
                height=6,
                steps=t.UP,
            ),
            Panel(
                "Connections in use",
                "The share of each pool's connections to its database that are in use: at 100 % requests wait.",
                [
                    promql(
                        'max by (db_client_connection_pool_name) (db_client_connection_count{db_client_connection_state="used"}'
                        " / ignoring (db_client_connection_state) group_left db_client_connection_max)",
                        "{{db_client_connection_pool_name}}",
                        instant=True,
                    )
                ],
                [to("databases")],
                t.RATIO,
                "bars",
                height=6,
                steps=t.USED,
                top=1,
            ),
            Panel(
                "Versions",
                "The version that each service runs: more than one of a service is a deployment under way.",
                [promql("sum by (service_name, service_version) (build_info)", instant=True)],
                [to("runtime")],
                t.COUNT,
                "table",
                height=6,
                columns={"service_name": ("Service", ""), "service_version": ("Version", ""), "Value": ("Processes", "short")},
            ),
        ],
    },
)
