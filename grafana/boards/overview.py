"""Where an operator begins: are the promises kept, and if not, where?"""

import table as t
from kit import Dashboard, Panel, promql, to

OURS = 'service_name!=""'  # Jaeger has histograms of the same names about itself

BOARD = Dashboard(
    "overview",
    "Are the promises kept? Objectives and their budgets first, then each service.",
    {
        "Services": [
            Panel(
                "Requests per second",
                "Requests that each service answers; the gateway's are those of people, the others' come from it and from each other.",
                [promql(f"sum by (service_name) (rate(http_server_request_duration_seconds_count{{{OURS}}}[$__rate_interval]))", "{{service_name}}")],
                [to("service", service="gateway")],
                t.REQUESTS,
                colours=t.SERVICES,
                each=[to("service", "This service", service="${__field.labels.service_name}")],
            ),
            Panel(
                "Error ratio",
                "The share of requests that end with 5xx: red is above what the availability objective allows.",
                [
                    promql(
                        f'1 - sum by (service_name) (rate(http_server_request_duration_seconds_count{{{OURS}, http_response_status_code!~"5.."}}[$__rate_interval]))'
                        f" / sum by (service_name) (rate(http_server_request_duration_seconds_count{{{OURS}}}[$__rate_interval]))",
                        "{{service_name}}",
                    )
                ],
                [to("logs", level="error")],
                t.RATIO,
                steps=t.ERRORS,
                colours=t.SERVICES,
                each=[to("service", "This service", service="${__field.labels.service_name}")],
            ),
            Panel(
                "p95",
                "The time within which 95 of 100 requests are answered, by service.",
                [
                    promql(
                        f"histogram_quantile(0.95, sum by (service_name, le) (rate(http_server_request_duration_seconds_bucket{{{OURS}}}[$__rate_interval])))",
                        "{{service_name}}",
                        exemplars=True,
                    )
                ],
                [to("service", service="gateway")],
                t.SECONDS,
                colours=t.SERVICES,
                each=[to("service", "This service", service="${__field.labels.service_name}")],
            ),
        ],
    },
)
