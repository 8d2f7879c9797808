"""What people do, from the gateway through the services behind it."""

import table as t
from kit import Dashboard, Panel, in_jaeger, in_loki, promql, quantile, rate, share, to, traces

REQUESTS = "http_server_request_duration_seconds"
COUNT = f"{REQUESTS}_count"
CALLS = "http_client_request_duration_seconds"
GATEWAY = 'service_name="gateway"'
ROUTE = f'{GATEWAY}, http_route=~"$route"'
AT = {name: f"{GATEWAY}, {journey.selector}" for name, journey in t.JOURNEYS.items()}
TRACES = in_jaeger("gateway")
LINES = in_loki('{service_name="gateway"}')
GATEWAY_BOARD = to("service", "The gateway", service="gateway")


def fast(name: str, seconds: float) -> str:
    return share(rate(f"{REQUESTS}_bucket", f'{AT[name]}, le="{seconds}"'), rate(COUNT, AT[name]))


BOARD = Dashboard(
    "journey",
    "What people do, from the gateway through the services behind it: where is it slow, where does it fail?",
    {
        "Journeys": [
            Panel(
                "Requests per second by journey",
                "How often people sign in, read, write and import.",
                [promql(rate(COUNT, selector), name) for name, selector in AT.items()],
                [to("overview"), TRACES],
                t.REQUESTS,
                colours=t.JOURNEY,
            ),
            Panel(
                "Availability",
                "The share of each journey's requests that do not end with 5xx; below the line the objective is missed.",
                [promql(f"1 - {share(rate(COUNT, f'{selector}, {t.FAILED}'), rate(COUNT, selector))}", name) for name, selector in AT.items()],
                [to("overview"), in_loki('{service_name="gateway"} | detected_level="error"', "The gateway's errors in Loki")],
                t.RATIO,
                steps=t.AVAILABLE,
                colours=t.JOURNEY,
                top=1,
            ),
            Panel(
                "Fast enough",
                "The share of requests within the bound of their journey (sign-ins 500 ms, reads 100 ms, writes 250 ms); below the line the objective is missed.",
                [promql(fast(name, journey.seconds), name) for name, journey in t.JOURNEYS.items() if journey.seconds],
                [to("overview"), TRACES],
                t.RATIO,
                steps=t.FAST_ENOUGH,
                colours=t.JOURNEY,
                top=1,
            ),
        ],
        "Routes of the gateway": [
            Panel(
                "Requests by route",
                "What is asked of the public API.",
                [promql(rate(COUNT, ROUTE, "http_request_method, http_route"), "{{http_request_method}} {{http_route}}")],
                [GATEWAY_BOARD, LINES],
                t.REQUESTS,
                stacked=True,
            ),
            Panel(
                "p95 by route",
                "What is slow at the public API; a dot is one request and leads to its trace.",
                [promql(quantile(REQUESTS, ROUTE, "http_request_method, http_route"), "{{http_request_method}} {{http_route}}", exemplars=True)],
                [TRACES, GATEWAY_BOARD],
                t.SECONDS,
            ),
            Panel(
                "Answers by status",
                "How requests end at the public API: 4xx are mistakes of who asks, 5xx are ours.",
                [promql(rate(COUNT, f'{ROUTE}, http_response_status_code!=""', "http_response_status_code"), "{{http_response_status_code}}")],
                [LINES, GATEWAY_BOARD],
                t.REQUESTS,
                colours=t.STATUS,
                stacked=True,
            ),
        ],
        "Calls between services": [
            Panel(
                "Calls per second",
                "Which service asks which question of another one.",
                [promql(rate(f"{CALLS}_count", "", "service_name, http_request_method, url_template"), "{{service_name}}: {{http_request_method}} {{url_template}}")],
                [to("service", "Who calls", service="gateway"), TRACES],
                t.REQUESTS,
                stacked=True,
            ),
            Panel(
                "Failed calls",
                "The share of calls without an answer, or with 5xx: the culprit is who is called, or the way to it.",
                [
                    promql(
                        share(
                            rate(f"{CALLS}_count", 'error_type!~"|4..|cancelled"', "service_name, url_template"),
                            rate(f"{CALLS}_count", "", "service_name, url_template"),
                        ),
                        "{{service_name}}: {{url_template}}",
                    )
                ],
                [TRACES, to("logs", level="error")],
                t.RATIO,
                steps=t.ERRORS,
            ),
            Panel(
                "p95 of calls",
                "How long callers wait for each answer; much more than the called service's own time is lost on the way.",
                [promql(quantile(CALLS, "", "service_name, url_template"), "{{service_name}}: {{url_template}}")],
                [TRACES, to("service", "Who is called", service="catalog")],
                t.SECONDS,
            ),
            Panel(
                "Answers without a service",
                "Answers that the gateway gave although a service was away, by the service that was missing.",
                [promql(rate("gateway_degraded_answers_total", "", "service"), "{{service}}")],
                [to("overview"), LINES],
                t.RATE,
                colours=t.SERVICES,
                steps=t.ANY_LOSS,
                each=[to("service", "The missing service", service="${__field.labels.service}")],
            ),
            Panel(
                "Known credentials",
                "The share of requests whose credential the gateway had just exchanged: the others cost a call to accounts.",
                [promql(share(rate("gateway_credential_lookups_total", 'outcome="hit"'), rate("gateway_credential_lookups_total", "")), "known")],
                [to("service", "Accounts", service="accounts")],
                t.RATIO,
                top=1,
            ),
            Panel(
                "Exchanges of credentials",
                "Credentials that were to be exchanged for an assertion, by how that ended.",
                [promql(rate("accounts_exchanges_total", "", "result"), "{{result}}")],
                [to("service", "Accounts", service="accounts"), in_loki('{service_name="accounts"}')],
                t.RATE,
                colours=t.ENDS,
                stacked=True,
            ),
        ],
        "What people do": [
            Panel(
                "Sign-ins",
                "Passwords that were to be checked, by how that ended: many refused ones are somebody who guesses.",
                [promql(rate("accounts_sign_ins_total", "", "result"), "{{result}}")],
                [to("service", "Accounts", service="accounts"), in_loki('{service_name="accounts"}')],
                t.RATE,
                colours=t.ENDS,
                stacked=True,
            ),
            Panel(
                "New people",
                "People who signed up.",
                [promql(rate("accounts_sign_ups_total", ""), "people")],
                [to("service", "Accounts", service="accounts")],
                t.RATE,
            ),
            Panel(
                "Time of a password",
                "How long 95 of 100 passwords wait for their hash, and how long the hash takes: waiting means that all hashers are busy.",
                [
                    promql(quantile("accounts_hash_wait_seconds", ""), "wait"),
                    promql(quantile("accounts_hash_duration_seconds", ""), "hash"),
                ],
                [to("service", "Accounts", service="accounts"), in_jaeger("accounts")],
                t.SECONDS,
            ),
            Panel(
                "Songs kept and dropped",
                "Musics that people began to keep, by where they came from, and those they keep no more.",
                [
                    promql(rate("wallet_favourites_added_total", "", "source"), "kept by {{source}}"),
                    promql(rate("wallet_favourites_removed_total", ""), "dropped"),
                ],
                [to("service", "Wallet", service="wallet"), in_jaeger("wallet")],
                t.RATE,
            ),
            Panel(
                "Songs added and removed",
                "Songs of the catalog that were added, by where they came from, and removed by their owner.",
                [
                    promql(rate("catalog_musics_created_total", "", "source"), "added by {{source}}"),
                    promql(rate("catalog_musics_deleted_total", ""), "removed"),
                ],
                [to("service", "Catalog", service="catalog"), in_jaeger("catalog")],
                t.RATE,
            ),
            Panel(
                "Rows imported",
                "Rows of imported files, of songs into the catalog and of libraries into wallets, by what became of them.",
                [
                    promql(rate("catalog_import_rows_total", "", "outcome"), "catalog, {{outcome}}"),
                    promql(rate("wallet_import_rows_total", "", "outcome"), "wallet, {{outcome}}"),
                ],
                [to("service", "Catalog", service="catalog"), in_jaeger("catalog", operation="import batch")],
                t.RATE,
            ),
        ],
        "Prober": [
            Panel(
                "Runs of the prober",
                "How often the prober's journey through the public address ends well, or not.",
                [promql(rate("prober_runs_total", "", "result"), "{{result}}")],
                [to("overview"), TRACES],
                t.RATE,
                width=12,
                colours=t.ENDS,
                stacked=True,
            ),
            Panel(
                "Steps of the prober",
                "How long the steps of the prober's journey take, 95 of 100 of them: what people would feel.",
                [promql(quantile("prober_step_duration_seconds", "", "step"), "{{step}}")],
                [to("overview"), TRACES],
                t.SECONDS,
                width=12,
            ),
        ],
        "Traces": [
            Panel(
                "Latest requests",
                "The newest traces of the gateway: each opens whole.",
                [traces("gateway")],
                [TRACES],
                kind="table",
                width=12,
                height=10,
            ),
            Panel(
                "Latest requests that we failed",
                "The newest traces of the gateway that were answered with 503: a service or its database could not be had.",
                [traces("gateway", tags="http.response.status_code=503", empty="a database is stopped")],
                [in_jaeger("gateway", tags="http.response.status_code=503"), to("logs", level="error")],
                kind="table",
                width=12,
                height=10,
            ),
        ],
    },
    [t.ROUTE],
)
