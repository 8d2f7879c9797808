"""One service: the requests it answers (rate, errors, duration), and what it uses for that (utilization, saturation, errors)."""

import table as t
from kit import Dashboard, Panel, explore, in_jaeger, in_loki, promql, quantile, rate, share, to

REQUESTS = "http_server_request_duration_seconds"
COUNT = f"{REQUESTS}_count"
THIS = 'service_name="$service_name"'
LINES = in_loki('{service_name="${service_name}"}')
TRACES = in_jaeger("${service_name}")
ROUTE = [
    explore(
        "Its lines in Loki", "loki", expr='{service_name="${service_name}"} | http_route="${__field.labels.http_route}"', queryType="range"
    ),
    in_jaeger("${service_name}", tags="http.route=${__field.labels.http_route}"),
]

BOARD = Dashboard(
    "service",
    "One service: what it answers, and what it uses for that.",
    {
        "Requests": [
            Panel(
                "Requests per second",
                "All requests that the service answers at its API.",
                [promql(rate(COUNT, THIS), "requests")],
                [to("journey"), TRACES, LINES],
                t.REQUESTS,
            ),
            Panel(
                "Error ratio",
                "The share of requests that end with 5xx; above the line it is more than the availability objective allows.",
                [promql(share(rate(COUNT, f"{THIS}, {t.FAILED}"), rate(COUNT, THIS)), "errors")],
                [in_loki('{service_name="${service_name}"} | detected_level=~"warn|error"', "Its warnings and errors in Loki"), TRACES],
                t.RATIO,
                steps=t.ERRORS,
                runbooks=("availability-burning",),
            ),
            Panel(
                "p95",
                "The time within which 95 of 100 requests are answered; a dot is one request and leads to its trace.",
                [promql(quantile(REQUESTS, THIS), "p95", exemplars=True)],
                [TRACES, to("databases", service_name="$service_name")],
                t.SECONDS,
                runbooks=("latency-burning",),
            ),
            Panel(
                "Answers by status",
                "Requests by how they ended; those without a status were left by who had asked.",
                [
                    promql(
                        rate(COUNT, f'{THIS}, http_response_status_code!=""', "http_response_status_code"), "{{http_response_status_code}}"
                    ),
                ],
                [in_loki('{service_name="${service_name}"} | http_response_status_code!=""'), TRACES],
                t.REQUESTS,
                colours=t.STATUS,
                stacked=True,
            ),
            Panel(
                "Requests by route",
                "Which routes are busy.",
                [promql(f"service_name_http_route:http_server_requests:rate1m{{{THIS}}}", "{{http_route}}")],
                [to("journey"), LINES],
                t.REQUESTS,
                stacked=True,
                each=ROUTE,
            ),
            Panel(
                "p95 by route",
                "Which routes are slow.",
                [promql(f"service_name_http_route:http_server_request_duration_seconds:p95_rate1m{{{THIS}}}", "{{http_route}}")],
                [TRACES, to("databases", service_name="$service_name")],
                t.SECONDS,
                each=ROUTE,
            ),
            Panel(
                "Error ratio by route",
                "Which routes fail.",
                [promql(f"service_name_http_route:http_server_errors:ratio_rate1m{{{THIS}}}", "{{http_route}}")],
                [in_loki('{service_name="${service_name}"} | detected_level=~"warn|error"', "Its warnings and errors in Loki"), TRACES],
                t.RATIO,
                width=12,
                steps=t.ERRORS,
                each=ROUTE,
            ),
            Panel(
                "Durations",
                "How many requests took how long, a dot is one of them and leads to its trace; two bands are two kinds of request, or a cache.",
                [promql(f"sum by (le) (increase({REQUESTS}_bucket{{{THIS}}}[$__rate_interval]))", "{{le}}", exemplars=True)],
                [TRACES],
                t.SECONDS,
                "heatmap",
                width=12,
            ),
        ],
        "What it uses": [
            Panel(
                "Requests in flight",
                "Requests that are being answered: when it grows and the rate does not, something behind the service is slow.",
                [promql(f"sum(http_server_active_requests{{{THIS}}})", "in flight")],
                [to("databases", service_name="$service_name"), TRACES],
                t.COUNT,
            ),
            Panel(
                "CPU",
                "Processor time that the process uses, in cores.",
                [promql(f"sum(rate(process_cpu_seconds_total{{{THIS}}}[$__rate_interval]))", "used")],
                [to("runtime", service_name="$service_name")],
                t.CORES,
            ),
            Panel(
                "Memory",
                "Resident memory of the process.",
                [promql(f"sum(process_resident_memory_bytes{{{THIS}}})", "resident")],
                [to("runtime", service_name="$service_name")],
                t.BYTES,
            ),
            Panel(
                "File descriptors in use",
                "The share of the file descriptors that the process may have open: at 100 % it can accept no connection.",
                [promql(f"max(process_open_fds{{{THIS}}} / process_max_fds{{{THIS}}})", "used")],
                [to("runtime", service_name="$service_name")],
                t.RATIO,
                steps=t.USED,
            ),
            Panel(
                "Connections turned away or cut",
                "Connections that were refused because too many were open, and those that the service ended, by reason.",
                [
                    promql(rate("http_server_connections_refused_total", THIS), "refused"),
                    promql(rate("http_server_connections_cut_total", THIS, "reason"), "{{reason}}"),
                ],
                [to("runtime", service_name="$service_name"), LINES],
                t.RATE,
                steps=t.ANY_LOSS,
            ),
            Panel(
                "Panics and failed accepts",
                "Panics that were caught, and connections that could not be accepted: each is a mistake or a limit.",
                [
                    promql(rate("http_server_panics_total", THIS), "panics"),
                    promql(rate("http_server_accept_errors_total", THIS), "failed accepts"),
                ],
                [
                    in_loki('{service_name="${service_name}"} | detected_level="error"', "Its errors in Loki"),
                    to("runtime", service_name="$service_name"),
                ],
                t.RATE,
                steps=t.ANY_LOSS,
            ),
        ],
    },
    [t.SERVICE],
)
