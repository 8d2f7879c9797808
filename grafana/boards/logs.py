"""The lines of all services in Loki."""

import table as t
from kit import Dashboard, Panel, in_jaeger, in_loki, logql, to

LABELS = '{service_name=~"$service_name"}'
CHOSEN = f'{LABELS} | detected_level=~"$level" |= `$search`'
SEVERE = f'{LABELS} | detected_level=~"warn|error"'
# A line of a request is told by its attributes; any other one has a text.
TOLD = (
    "| line_format `{{.service_name}} {{if .http_route}}{{.http_request_method}} {{.http_route}} "
    "{{.http_response_status_code}} {{.duration_ms}} ms{{else}}{{__line__}}{{end}}`"
)
IN_EXPLORE = in_loki('{service_name=~"${service_name:regex}"} | detected_level=~"${level:regex}"', "These lines in Explore")
# A panel of all services leads to the traces of the one that every request comes through.
GATEWAY = in_jaeger("gateway", "The gateway's traces in Jaeger")


def counted(text: str, by: str) -> str:
    return f"sum by ({by}) (count_over_time({text} [$__auto]))"


BOARD = Dashboard(
    "logs",
    "What the services say. Each line has its trace: open the line, and follow it to Jaeger.",
    {
        "How many": [
            Panel(
                "Lines by level",
                "The lines that are chosen above, by how severe they are.",
                [logql(counted(CHOSEN, "detected_level"), "{{detected_level}}")],
                [IN_EXPLORE],
                t.COUNT,
                colours=t.LEVELS,
                stacked=True,
            ),
            Panel(
                "Lines by service",
                "The lines that are chosen above, by who wrote them: a service that is silent is down, or its lines are lost.",
                [logql(counted(CHOSEN, "service_name"), "{{service_name}}")],
                [to("telemetry"), IN_EXPLORE],
                t.COUNT,
                colours=t.SERVICES,
                stacked=True,
            ),
            Panel(
                "Warnings and errors by service",
                "Who complains.",
                [logql(counted(SEVERE, "service_name, detected_level"), "{{service_name}} {{detected_level}}")],
                [to("journey"), in_loki('{service_name=~"${service_name:regex}"} | detected_level=~"warn|error"', "They in Explore")],
                t.COUNT,
                stacked=True,
            ),
        ],
        "Requests, by their lines": [
            Panel(
                "Answers by status",
                "How requests ended: it should look as the metrics do, or lines are lost.",
                [logql(counted(f'{LABELS} | http_response_status_code!=""', "http_response_status_code"), "{{http_response_status_code}}")],
                [to("overview"), IN_EXPLORE],
                t.COUNT,
                width=12,
                colours=t.STATUS,
                stacked=True,
            ),
            Panel(
                "p95 of requests",
                "The time within which 95 of 100 requests were answered, by their lines: exact, where metrics have buckets.",
                [
                    logql(
                        f'quantile_over_time(0.95, {LABELS} | duration_ms!="" | unwrap duration_ms [$__auto]) by (service_name) / 1000',
                        "{{service_name}}",
                    )
                ],
                [to("overview"), GATEWAY],
                t.SECONDS,
                width=12,
                colours=t.SERVICES,
                each=[to("service", "This service", service_name="${__field.labels.service_name}")],
            ),
        ],
        "Lines": [
            Panel(
                "Lines",
                "The newest lines that are chosen above; open one, and its trace_id leads to the trace.",
                [logql(f"{CHOSEN} {TOLD}")],
                [IN_EXPLORE],
                kind="lines",
                width=24,
                height=14,
            ),
            Panel(
                "Slow requests",
                "The newest lines of requests that took more than 25 ms; the attribute duration_ms says how long.",
                [logql(f"{LABELS} | duration_ms > 25 {TOLD}")],
                [in_loki('{service_name=~"${service_name:regex}"} | duration_ms > 25', "These lines in Explore"), GATEWAY],
                kind="lines",
                width=12,
                height=12,
            ),
            Panel(
                "Warnings and errors",
                "The newest complaints, whatever level is chosen above.",
                [logql(SEVERE)],
                [
                    in_loki('{service_name=~"${service_name:regex}"} | detected_level=~"warn|error"', "These lines in Explore"),
                    to("journey"),
                ],
                kind="lines",
                width=12,
                height=12,
            ),
        ],
    },
    [t.LOGGING_SERVICE, t.LEVEL, t.SEARCH],
)
